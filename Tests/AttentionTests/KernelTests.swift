import Attention
import CMicrokernels
import Devices
import Glibc
import Tensors
import Testing

/// Vector functions and storage against their definitions, at every level.
@Suite struct KernelTests {
  static let levels = InstructionSet.available

  private func kernels(_ level: InstructionSet) throws -> swa_attention_kernels {
    try CPUDevice(threads: 1, instructionSet: level).attentionKernels
  }

  /// The error in units of the last place of the Double result rounded to Float.
  private func ulps(_ a: Float, _ b: Double) -> Double {
    if Double(a) == b { return 0 }
    let unit = max(Float(b).ulp, Float.leastNormalMagnitude.ulp)
    return abs(Double(a) - b) / Double(unit)
  }

  @Test(arguments: levels)
  func exponential(level: InstructionSet) throws {
    let kernels = try kernels(level)
    var worst = 0.0
    for start in stride(from: Float(-103), to: 88, by: 0.53) {
      let x = (0..<16).map { start + Float($0) * 0.0331 }
      var y = [Float](repeating: .nan, count: 16)
      kernels.exp(x, &y, 16)
      for (x, y) in zip(x, y) { worst = max(worst, ulps(y, exp(Double(x)))) }
    }
    #expect(worst <= 2, "\(worst) ulp")
    let special: [Float] = [-.infinity, .infinity, .nan, 0, -104.5, 89.5]
    var result = [Float](repeating: 7, count: 6)
    kernels.exp(special, &result, 6)
    #expect(result[0] == 0 && result[1] == .infinity && result[2].isNaN && result[3] == 1)
    #expect(result[4] == 0 && result[5] == .infinity)
  }

  @Test(
    arguments: levels,
    [
      (SWA_TILE_LOG, 1e-3, 4.0, 2.0), (SWA_TILE_LOG, 4, 1e6, 2), (SWA_TILE_TANH, -12, 12, 6),
      (SWA_TILE_TANH, -0.01, 0.01, 4), (SWA_TILE_SIGMOID, -40, 40, 4),
      (SWA_TILE_SQUARE_ROOT, 0, 100, 1), (SWA_TILE_FLOOR, -9, 9, 0),
      (SWA_TILE_SINE, 0.1, 1.5, 2), (SWA_TILE_COSINE, -0.7, 0.7, 2),
    ])
  func tileFunctions(
    level: InstructionSet, function: (op: swa_tile_op, low: Double, high: Double, ulps: Double)
  ) throws {
    let kernels = try kernels(level)
    var random = Random(3)
    var worst = 0.0
    for _ in 0..<200 {
      let x = (0..<16).map { _ in
        Float(function.low + (function.high - function.low) * (Double(random.float()) + 1) / 2)
      }
      var y = [Float](repeating: .nan, count: 16)
      kernels.tile(function.op, x, into: &y)
      for (x, y) in zip(x.map(Double.init), y) {
        let exact =
          switch function.op {
          case SWA_TILE_LOG: log(x)
          case SWA_TILE_TANH: tanh(x)
          case SWA_TILE_SIGMOID: 1 / (1 + exp(-x))
          case SWA_TILE_SQUARE_ROOT: x.squareRoot()
          case SWA_TILE_SINE: sin(x)
          case SWA_TILE_COSINE: cos(x)
          default: x.rounded(.down)
          }
        worst = max(worst, ulps(y, exact))
      }
    }
    #expect(worst <= function.ulps, "\(worst) ulp")
  }

  @Test(arguments: levels)
  func logarithmsOfOddNumbers(level: InstructionSet) throws {
    let x: [Float] = [0, -1, .infinity, .nan, 1, -.infinity, -0.0, .leastNormalMagnitude]
    var y = [Float](repeating: 7, count: 16)
    try kernels(level).tile(SWA_TILE_LOG, x + x, into: &y)
    #expect(y[0] == -.infinity && y[1].isNaN && y[2] == .infinity && y[3].isNaN && y[4] == 0)
    #expect(y[5].isNaN && y[6] == -.infinity && abs(y[7] + 87.33655) < 1e-4)
  }

  /// Angles of far positions lose nothing beyond the float they come in.
  @Test(arguments: levels)
  func sinesOfLargeAngles(level: InstructionSet) throws {
    let kernels = try kernels(level)
    for start in [Float(-3e6), -700, 0, 1e4, 1e8] {
      let x = (0..<16).map { start + Float($0) * 1.37 }
      var sines = [Float](repeating: .nan, count: 16)
      var cosines = sines
      kernels.tile(SWA_TILE_SINE, x, into: &sines)
      kernels.tile(SWA_TILE_COSINE, x, into: &cosines)
      for (i, x) in x.enumerated() {
        #expect(abs(Double(sines[i]) - sin(Double(x))) < 1.2e-7)
        #expect(abs(Double(cosines[i]) - cos(Double(x))) < 1.2e-7)
      }
    }
    var y = [Float](repeating: 0, count: 16)
    kernels.tile(SWA_TILE_SINE, [Float](repeating: .infinity, count: 16), into: &y)
    #expect(y.allSatisfy { $0.isNaN })
  }

  /// Panels of values whose token t has t + 1 in every column.
  private func countingPanels(_ kernels: swa_attention_kernels, _ count: Int, d: Int)
    -> [AlignedBuffer]
  {
    (0..<count).map { panel in
      let packed = AlignedBuffer(byteCount: 16 * 32 * 4)
      for t in 0..<16 {
        kernels.f32.store_value(
          [Float](repeating: Float(16 * panel + t + 1), count: d), d, packed.bytes.baseAddress, t)
      }
      return packed
    }
  }

  @Test(arguments: levels)
  func softmaxIsExactAboutEmptyRows(level: InstructionSet) throws {
    let kernels = try kernels(level)
    let values = countingPanels(kernels, 2, d: 1)
    let panels = values.map { UnsafeRawPointer($0.bytes.baseAddress) }
    var m: [Float] = [-.infinity]
    var l: [Float] = [0]
    var o = [Float](repeating: 2, count: 16)
    func attend(_ scores: [Float], _ panelRange: Range<UInt32> = 0..<2) -> [Float] {
      var scores = scores
      withExtendedLifetime(values) {
        kernels.f32.packed.softmax_values(
          &scores, 1, panels, [swa_span(first: panelRange.lowerBound, end: panelRange.upperBound)],
          1, &m, &l, &o, 16, nil)
      }
      return scores
    }
    let empty = [Float](repeating: -.infinity, count: 32)
    #expect(attend(empty).allSatisfy { $0 == 0 } && m == [-.infinity] && l == [0] && o[0] == 0)
    // A score then arrives; the empty past counts for nothing.
    var scores = empty
    scores[5] = -1e30
    #expect(attend(scores)[5] == 1 && m == [-1e30] && l == [1] && o[0] == 6)
    // And empty scores change nothing, nor does an empty span.
    #expect(attend(empty).allSatisfy { $0 == 0 } && m == [-1e30] && l == [1] && o[0] == 6)
    let sevens = [Float](repeating: 7, count: 32)
    #expect(attend(sevens, 1..<1) == sevens && m == [-1e30] && l == [1] && o[0] == 6)
  }

  /// A row's softmax and output are the same bits in a tile, beside other strips' products, as alone.
  @Test(arguments: levels, [1, 7, 13, 30])
  func softmaxOfTilesIsThatOfRows(level: InstructionSet, rows: Int) throws {
    let kernels = try kernels(level)
    let (d, pitch) = (24, Int(SWA_SCORE_PITCH))
    let values = countingPanels(kernels, 5, d: d)
    let panels = values.map { UnsafeRawPointer($0.bytes.baseAddress) }
    var random = SplitMix(state: 5)
    let scores = (0..<rows * pitch).map { _ in Float(random.next() >> 40) * 0x1p-20 - 8 }
    let spans = (0..<rows).map { swa_span(first: UInt32($0 % 2), end: UInt32(2 + $0 % 4)) }
    let height = (rows + strips(rows, kernels) - 1) / strips(rows, kernels)
    func attend(_ rows: Range<Int>, _ spans: [swa_span]) -> (o: [Float], l: [Float]) {
      var s = Array(scores[rows.lowerBound * pitch..<rows.upperBound * pitch])
      var m = [Float](repeating: -2, count: rows.count)
      var l = rows.map { Float($0) }
      var o = rows.flatMap { [Float](repeating: Float($0), count: 32) }
      withExtendedLifetime(values) {
        kernels.f32.packed.softmax_values(
          &s, rows.count, panels, spans, d, &m, &l, &o, 32, nil)
      }
      return (o, l)
    }
    let whole = attend(0..<rows, spans)
    for row in 0..<rows {
      let alone = attend(row..<row + 1, [spans[row / height]])
      #expect(whole.l[row] == alone.l[0])
      #expect(whole.o[row * 32..<row * 32 + d].elementsEqual(alone.o.prefix(d)))
    }
  }

  private func strips(_ rows: Int, _ kernels: swa_attention_kernels) -> Int {
    (rows + kernels.strip - 1) / kernels.strip
  }

  /// Every half and every bfloat16 survives a round trip; floats round as the language rounds.
  @Test(arguments: levels)
  func storageRounds(level: InstructionSet) throws {
    let kernels = try kernels(level)
    for high in stride(from: 0, through: 0xFFFF, by: 257) {
      let values = (0..<64).map { low -> Float in
        Float(bitPattern: UInt32(truncatingIfNeeded: high * 65_536 + low * 1_021 + high * 7))
      }
      for (set, type) in [
        (kernels.f16, ElementType.float16), (kernels.bf16, .bfloat16),
        (kernels.e4m3, .float8E4M3), (kernels.e5m2, .float8E5M2), (kernels.i8, .int8),
      ] {
        var stored = [UInt16](repeating: 0, count: 64)
        var back = [Float](repeating: 0, count: 64)
        set.store_row(values, 64, &stored)
        set.load_row(stored, 64, &back)
        for (x, y) in zip(values, back) {
          let expected = type.rounding(x)
          #expect(
            expected.isNaN ? y.isNaN : y == expected && (y.sign == expected.sign || type == .int8),
            "\(x) as \(type)")
        }
      }
    }
  }

  /// Every code of an 8-bit float is packed as the number it stands for.
  @Test(arguments: levels, [ElementType.float8E4M3, .float8E5M2, .int8])
  func everyCodeIsPacked(level: InstructionSet, type: ElementType) throws {
    let stored = try kernels(level)[type]
    let codes = (0...255).map { UInt8($0) }
    var expected = [Float](repeating: 7, count: 256)
    stored.load_row(codes, 256, &expected)
    var panel = [Float](repeating: .nan, count: 256 * 16)
    var output = [Float](repeating: 0, count: 256)
    codes.withUnsafeBytes { stored.pack_values([$0.baseAddress], 1, 256, &panel, nil) }
    var weights = [Float](repeating: 0, count: 16)
    weights[0] = 1
    var alpha: [Float] = [1]
    stored.packed.weights(&weights, 1, [swa_span(first: 0, end: 1)], &alpha)
    panel.withUnsafeBytes { panel in
      stored.packed.values(
        weights, 1, [panel.baseAddress], [swa_span(first: 0, end: 1)], 256, alpha, &output, 256,
        nil)
    }
    for (code, (found, number)) in zip(output, expected).enumerated() {
      #expect(found == number || found.isNaN && number.isNaN, "code \(code)")
    }
  }

  /// What is packed from rows multiplies as what is stored in panels does, in every element type.
  @Test(
    arguments: levels,
    [ElementType.float32, .float16, .bfloat16, .float8E4M3, .float8E5M2, .int8])
  func packedPanelsHoldTheRows(level: InstructionSet, type: ElementType) throws {
    let stored = try kernels(level)[type]
    var random = Random(7)
    for (d, count) in [(1, 1), (7, 16), (40, 5), (64, 16), (80, 15), (128, 16), (129, 3)] {
      let rows = (0..<count).map { _ in (0..<d).map { _ in random.float() * 3 } }
      var bytes = [[UInt8]](repeating: [UInt8](repeating: 0, count: d * 4), count: count)
      for t in 0..<count { stored.store_row(rows[t], d, &bytes[t]) }
      let memory = bytes.map { row -> UnsafeMutableRawPointer in
        let copy = UnsafeMutableRawPointer.allocate(byteCount: d * 4, alignment: 64)
        copy.copyMemory(from: row, byteCount: d * 4)
        return copy
      }
      defer { for pointer in memory { pointer.deallocate() } }
      let tokens = memory.map { UnsafeRawPointer($0) as UnsafeRawPointer? }
      let padded = (d + 15) / 16 * 16
      var keys = [Float](repeating: .nan, count: (padded + 32) * 16)
      var values = keys
      stored.pack_keys(tokens, count, d, &keys, nil)
      stored.pack_values(tokens, count, d, &values, nil)
      // A unit query picks an element out; unit weights pick a token out.
      for i in Set([0, d / 2, d - 1]) {
        let unit = (0..<d).map { $0 == i ? Float(1) : 0 }
        var packed = [Float](repeating: 0, count: d + 1)
        var scores = [Float](repeating: .nan, count: 16)
        unit.withUnsafeBufferPointer { unit in
          stored.packed.pack_queries([unit.baseAddress], 1, d, 1, &packed)
        }
        keys.withUnsafeBytes { keys in
          stored.packed.scores(
            packed, 1, d, [keys.baseAddress], [swa_span(first: 0, end: 1)], &scores,
            nil)
        }
        for t in 0..<count { #expect(scores[t] == type.rounding(rows[t][i]), "key \(t) \(i)") }
        #expect(scores[count...].allSatisfy { $0 == 0 })
      }
      for t in Set([0, count - 1]) {
        var weights = (0..<16).map { $0 == t ? Float(1) : 0 }
        var output = [Float](repeating: 0, count: padded)
        var alpha: [Float] = [1]
        stored.packed.weights(&weights, 1, [swa_span(first: 0, end: 1)], &alpha)
        values.withUnsafeBytes { values in
          stored.packed.values(
            weights, 1, [values.baseAddress], [swa_span(first: 0, end: 1)], d,
            alpha, &output, padded, nil)
        }
        for i in 0..<d { #expect(output[i] == type.rounding(rows[t][i]), "value \(t) \(i)") }
      }
    }
  }
}

extension swa_attention_kernels {
  /// One operation on one row.
  fileprivate func tile(_ op: swa_tile_op, _ x: [Float], into y: inout [Float]) {
    let count = y.count
    x.withUnsafeBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        var external = swa_tile_external(base: x.baseAddress, pitch: 0)
        withUnsafePointer(to: &external) { external in
          var memory = swa_tile_memory()
          memory.block = y.baseAddress
          memory.externals = external
          let operand = swa_tile_operand(source: UInt16(SWA_TILE_EXTERNAL.rawValue), index: 0)
          var step = swa_tile_step(
            op: UInt16(op.rawValue), target: 0, a: operand, b: operand, c: operand)
          run_tile(&step, 1, &memory, 1, count)
        }
      }
    }
  }
}
