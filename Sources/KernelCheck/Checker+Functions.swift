import CMicrokernels
import Devices
import Glibc

// The functions that attention's tile programs are made of, element by element.
extension Checker {
  /// Zeros, subnormals, the ends of exp's range, infinities, NaN, and a sweep between.
  private static let points: [Float] =
    [
      0, -0.0, 0x1p-149, -0x1p-149, 1e-38, 1, -1, 0.629, 0.631, 3e38, -3e38, .infinity, -.infinity,
      .nan,
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
      (SWA_TILE_TANH, "tanh", 4, { tanh($0) }),
      (SWA_TILE_SIGMOID, "sigmoid", 4, { 1 / (1 + exp(-$0)) }),
      (SWA_TILE_SQUARE_ROOT, "square root", 0.51, { $0.squareRoot() }),
      (SWA_TILE_FLOOR, "floor", 0, { $0.rounded(.down) }),
      (SWA_TILE_NOT, "not", 0, { $0 == 0 ? 1 : 0 }),
    ]
    for (code, name, limit, exact) in operations {
      let flushes = [SWA_TILE_LOG, SWA_TILE_SIGMOID].contains(code)
      let inputs = flushes ? x.filter { abs($0) == 0 || abs($0) >= 0x1p-126 } : x
      let operands = Array(inputs.prefix(inputs.count / 16 * 16))
      let results = operands.map { value -> Double in
        let result = exact(Double(value))
        return flushes && abs(result) < 0x1p-125 ? 0 : result
      }
      checkFunction(name, limit: limit, results, floor: flushes ? 0x1p-125 : 0) { side, out in
        devices[side].attentionKernels.unary?(code, operands, &out, operands.count)
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
    let kernels = devices.map(\.attentionKernels)
    for (code, name, exact) in operations {
      // What becomes of NaN is promised for all but these two.
      let takesNaN = ![SWA_TILE_MINIMUM, SWA_TILE_MAXIMUM].contains(code)
      let x = takesNaN ? x : x.map { $0.isNaN ? 0 : $0 }
      let y = takesNaN ? y : y.map { $0.isNaN ? 0 : $0 }
      checkFunction(name, limit: 0, (0..<count).map { Double(exact(x[$0], y[$0])) }) {
        kernels[$0].binary?(code, x, y, &$1, count)
      }
      checkFunction("\(name), right", limit: 0, x.prefix(count).map { Double(exact($0, constant)) })
      {
        kernels[$0].binary_right?(code, x, constant, &$1, count)
      }
      checkFunction("\(name), left", limit: 0, x.prefix(count).map { Double(exact(constant, $0)) })
      {
        kernels[$0].binary_left?(code, constant, x, &$1, count)
      }
    }
  }

  private func checkChoices(_ x: [Float], _ y: [Float]) {
    let count = x.count / 16 * 16
    let conditions = (0..<count).map { Float($0 % 3 == 0 ? 1 : 0) }
    let kernels = devices.map(\.attentionKernels)
    let chosen = (0..<count).map { Double($0 % 3 == 0 ? x[$0] : y[$0]) }
    checkFunction("select", limit: 0, chosen) {
      kernels[$0].select?(conditions, x, y, &$1, count)
    }
    let masked = (0..<count).map { $0 % 3 == 0 ? Double(x[$0]) : -.infinity }
    checkFunction("mask", limit: 0, masked) { side, out in
      for i in 0..<count { out[i] = x[i] }
      kernels[side].mask?(conditions, &out, count)
    }
    checkFunction("iota", limit: 0, (0..<count).map { Double($0) - 7 }) {
      kernels[$0].iota?(-7, &$1, count)
    }
    checkFunction("fill", limit: 0, [Double](repeating: 2.5, count: count)) {
      kernels[$0].fill?(2.5, &$1, count)
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
