import Attention
import CMicrokernels
import Devices
import Glibc

// The functions that attention's tile programs are made of, element by element.
extension Checker {
  /// Zeros, subnormals, the ends of exp's range, infinities, NaN, and a sweep between.
  private static let points: [Float] =
    [
      0, -0.0, 0x1p-149, -0x1p-149, 1e-38, 1, -1, 0.629, 0.631, 3e38, -3e38, .infinity, -.infinity,
      .nan, Float(bitPattern: 0x7FC0_0155), Float(bitPattern: 0xFFEA_AAFF),
      -86.9, -87.1, -87.4, -103.9, -103.97, -103.98, -104, -104.1, 88.7, 88.72, 88.722, 88.73, 89,
      0x1.62e42ep-1, 0x1.62e430p-1, -0x1.62e42ep-1, 127.5, 128,
    ] + (0..<2_048).map { -105 + 195 * Float($0) / 2_048 }

  /// Every operation of a tile program, and exp.
  func checkFunctions() {
    let x = Self.points
    let y = x.indices.map { x[($0 * 7 + 3) % x.count] }
    checkFunction("exp", limit: 2, x.map { exp(Double($0)) }) { side, out in
      devices[side].attentionKernels.exp?(x, &out, x.count)
    }
    checkUnary(x)
    checkBinary(x, y)
    checkChoices(x, y)
  }

  private func checkUnary(_ x: [Float]) {
    // tanh, sigmoid and log treat results below the normal floats as 0, like their callers.
    let operations: [(swa_tile_op, String, Double, (Double) -> Double)] = [
      (SWA_TILE_NEGATE, "negate", 0, { -$0 }), (SWA_TILE_ABSOLUTE, "absolute", 0, { abs($0) }),
      (SWA_TILE_EXP, "exp", 2, { exp($0) }), (SWA_TILE_LOG, "log", 4, { log($0) }),
      (SWA_TILE_TANH, "tanh", 6, { tanh($0) }),
      (SWA_TILE_SIGMOID, "sigmoid", 4, { 1 / (1 + exp(-$0)) }),
      (SWA_TILE_SQUARE_ROOT, "square root", 0.51, { $0.squareRoot() }),
      (SWA_TILE_FLOOR, "floor", 0, { $0.rounded(.down) }),
      (SWA_TILE_NOT, "not", 0, { $0 == 0 ? 1 : 0 }),
    ]
    for (code, name, limit, exact) in operations {
      let flushes = [SWA_TILE_LOG, SWA_TILE_SIGMOID].contains(code)
      let inputs = flushes ? x.filter { !(abs($0) > 0 && abs($0) < 0x1p-126) } : x
      let operands = Array(inputs.prefix(inputs.count / 16 * 16))
      let results = operands.map { value -> Double in
        let result = exact(Double(value))
        return flushes && abs(result) < 0x1p-125 ? 0 : result
      }
      checkFunction(name, limit: limit, results, floor: flushes ? 0x1p-125 : 0) { side, out in
        tile(side, code, [operands], &out)
      }
    }
  }

  private func checkBinary(_ x: [Float], _ y: [Float]) {
    let operations: [(swa_tile_op, String, (Float, Float) -> Float)] = [
      (SWA_TILE_ADD, "add", { $0 + $1 }), (SWA_TILE_SUBTRACT, "subtract", { $0 - $1 }),
      (SWA_TILE_MULTIPLY, "multiply", { $0 * $1 }), (SWA_TILE_DIVIDE, "divide", { $0 / $1 }),
      (SWA_TILE_MINIMUM, "minimum", { $0 < $1 ? $0 : $1 }),
      (SWA_TILE_MAXIMUM, "maximum", { $0 > $1 ? $0 : $1 }),
      (SWA_TILE_LESS, "less", { $0 < $1 ? 1 : 0 }),
      (SWA_TILE_LESS_OR_EQUAL, "less or equal", { $0 <= $1 ? 1 : 0 }),
      (SWA_TILE_EQUAL, "equal", { $0 == $1 ? 1 : 0 }),
      (SWA_TILE_AND, "and", { $0 != 0 && $1 != 0 ? 1 : 0 }),
      (SWA_TILE_OR, "or", { $0 != 0 || $1 != 0 ? 1 : 0 }),
    ]
    let count = x.count / 16 * 16
    let constant: Float = 1.75
    for (code, name, exact) in operations {
      // What becomes of NaN is promised for all but these two.
      let takesNaN = ![SWA_TILE_MINIMUM, SWA_TILE_MAXIMUM].contains(code)
      let x = takesNaN ? x : x.map { $0.isNaN ? 0 : $0 }
      let y = takesNaN ? y : y.map { $0.isNaN ? 0 : $0 }
      checkFunction(name, limit: 0, (0..<count).map { Double(exact(x[$0], y[$0])) }) {
        tile($0, code, [x, y], &$1)
      }
      checkFunction("\(name), right", limit: 0, x.prefix(count).map { Double(exact($0, constant)) })
      {
        tile($0, code, [x], row: constant, rowIsFirst: false, &$1)
      }
      checkFunction("\(name), left", limit: 0, x.prefix(count).map { Double(exact(constant, $0)) })
      {
        tile($0, code, [x], row: constant, rowIsFirst: true, &$1)
      }
    }
  }

  private func checkChoices(_ x: [Float], _ y: [Float]) {
    let count = x.count / 16 * 16
    let conditions = (0..<count).map { Float($0 % 3 == 0 ? 1 : 0) }
    let chosen = (0..<count).map { Double($0 % 3 == 0 ? x[$0] : y[$0]) }
    checkFunction("select", limit: 0, chosen) {
      tile($0, SWA_TILE_SELECT, [conditions, x, y], &$1)
    }
    let masked = (0..<count).map { $0 % 3 == 0 ? Double(x[$0]) : -.infinity }
    checkFunction("mask", limit: 0, masked) { side, out in
      for i in 0..<count { out[i] = x[i] }
      tile(side, SWA_TILE_MASK, [conditions], &out)
    }
    let finite = x.map { $0.isFinite && abs($0) < 1e4 ? $0 : 0.5 }
    checkFunction("sine", limit: 0x1p24, finite.prefix(count).map { sin(Double($0)) }, floor: 1) {
      tile($0, SWA_TILE_SINE, [finite], &$1)
    }
    let a = (0..<count).map { Float($0 % 17) - 8 }
    checkFunction(
      "multiply and add", limit: 0,
      (0..<count).map { Double(a[$0] * a[($0 + 5) % count] + conditions[$0]) }
    ) {
      let b = (0..<count).map { a[($0 + 5) % count] }
      tile($0, SWA_TILE_MULTIPLY_ADD, [a, b, conditions], &$1)
    }
    checkFunction("iota", limit: 0, (0..<count).map { Double($0) + 7 }) {
      tile($0, SWA_TILE_IOTA, [], first: 7, &$1)
    }
    let bytes = (0..<count / 8 + 64).map { UInt8(truncatingIfNeeded: $0 * 37 + 11) }
    let bits = (5..<count + 5).map { i -> Double in bytes[i / 8] >> UInt8(i % 8) & 1 == 1 ? 1 : 0 }
    checkFunction("bits", limit: 0, bits) { side, out in
      bytes.withUnsafeBytes { tile(side, SWA_TILE_BITS, [], pointer: $0.baseAddress, bit: 5, &out) }
    }
  }

  /// One operation of a tile program over one row; operands are given in order.
  private func tile(
    _ side: Int, _ op: swa_tile_op, _ operands: [[Float]], row: Float? = nil,
    rowIsFirst: Bool = false, first: Int = 0, pointer: UnsafeRawPointer? = nil, bit: Int = 0,
    _ out: inout [Float]
  ) {
    // Operands lie one after the other, 16 floats apart.
    let pitch = out.count + 16
    var floats: [Float] = []
    for operand in operands {
      floats += operand.prefix(out.count)
      floats += [Float](repeating: 0, count: 16)
    }
    floats.append(0)
    let rows = [row ?? 0]
    func operand(_ i: Int) -> swa_tile_operand {
      let isRow = row != nil && i == (rowIsFirst ? 0 : 1)
      let number = row != nil && rowIsFirst ? 0 : i
      return swa_tile_operand(
        source: UInt16((isRow ? SWA_TILE_ROW : SWA_TILE_EXTERNAL).rawValue),
        index: UInt16(isRow ? 0 : min(number, max(operands.count - 1, 0))))
    }
    let step = swa_tile_step(
      op: UInt16(op.rawValue), target: 0, a: operand(0), b: operand(1), c: operand(2))
    let externals = max(operands.count, 1)
    let distance = operands.isEmpty ? 0 : pitch
    func run(_ out: inout [Float], _ execute: (inout swa_tile_memory, _ width: Int) -> Void) {
      let (pointers, bits, width) = ([pointer], [bit], out.count)
      floats.withUnsafeBufferPointer { floats in
        guard let base = floats.baseAddress else { return }
        let externals = (0..<externals).map {
          swa_tile_external(base: base + $0 * distance, pitch: 0)
        }
        out.withUnsafeMutableBufferPointer { out in
          externals.withUnsafeBufferPointer { externals in
            rows.withUnsafeBufferPointer { rows in
              pointers.withUnsafeBufferPointer { pointers in
                bits.withUnsafeBufferPointer { bits in
                  var memory = swa_tile_memory()
                  memory.block = out.baseAddress
                  memory.externals = externals.baseAddress
                  memory.row_values = rows.baseAddress
                  memory.row_pointers = pointers.baseAddress
                  memory.row_bits = bits.baseAddress
                  memory.first = first
                  memory.masked = -.infinity
                  execute(&memory, width)
                }
              }
            }
          }
        }
      }
    }
    var compiled = out
    run(&out) { memory, width in
      withUnsafePointer(to: step) {
        devices[side].attentionKernels.run_tile?($0, 1, &memory, 1, width)
      }
    }
    // Machine code does the same, to the bit; NaN where it does not, or a number where NaN is right.
    guard devices[side].compilesPrograms, let code = TileCode([step], layout: TileLayout()) else {
      return
    }
    run(&compiled) { memory, width in _ = code.view.run(&memory, rows: 1, width: width) }
    for i in out.indices where out[i].bitPattern != compiled[i].bitPattern {
      out[i] = out[i].isNaN ? compiled[i] : .nan
    }
  }

  /// Compares a function's values; `limit` is in units in the last place of the exact result.
  ///
  /// - Parameter floor: Errors smaller than this do not count.
  private func checkFunction(
    _ name: String, limit: Double, _ exact: [Double], floor: Double = 0,
    _ run: (_ side: Int, _ out: inout [Float]) -> Void
  ) {
    // A result beyond the floats is infinite and must be met exactly.
    let exact = exact.map { Float($0).isInfinite ? Double(Float($0)) : $0 }
    let scale = exact.map { $0.isFinite ? max(Double(Float($0).ulp), floor) * 0x1p23 : 1 }
    check(.functions, name, limit: limit * 0x1p-23, exact: exact, scale: scale) { side in
      var out = [Float](repeating: .nan, count: exact.count)
      run(side, &out)
      return Matrix(1, exact.count) { out[$1] }
    }
  }
}
