import Devices
import Glibc
import Tensors
import Testing

/// RoPE on queries and keys: by positions, by requests and by cached cosines and sines.
@Suite struct RopeApplicationTests {
  private typealias Pairing = RotaryEmbedding.Pairing

  /// Turns in Double.
  private static func turned(
    _ x: Matrix, head: Int, first: Int = 0, _ embedding: RotaryEmbedding, _ positions: [Int]
  ) -> [Double] {
    var values = x.values.map { Double($0) }
    let columns = x.view.columns
    for (row, position) in positions.enumerated() {
      for start in stride(from: row * columns + first, to: (row + 1) * columns, by: head) {
        for (i, frequency) in embedding.frequencies.enumerated() {
          let (a, b) =
            embedding.pairing == .adjacent
            ? (start + 2 * i, start + 2 * i + 1) : (start + i, start + i + embedding.dimension / 2)
          let angle = Double(position) * frequency
          let (u, v) = (values[a], values[b])
          values[a] = embedding.amplitude * (u * cos(angle) - v * sin(angle))
          values[b] = embedding.amplitude * (u * sin(angle) + v * cos(angle))
        }
      }
    }
    return values
  }

  private static func close(_ x: Matrix, _ exact: [Double]) -> Bool {
    zip(x.values, exact).allSatisfy { abs(Double($0) - $1) <= 1e-6 }
  }

  @Test(arguments: InstructionSet.available, [RotaryEmbedding.Pairing.adjacent, .halves])
  func everyWayIsTheSame(level: InstructionSet, pairing: RotaryEmbedding.Pairing) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 51)
    for (dimension, head) in [(2, 2), (20, 33), (64, 80), (128, 128)] {
      let embedding = try RotaryEmbedding(
        pairing: pairing, dimension: dimension, base: 5e5,
        scaling: .yarn(factor: 4, originalContext: 64))
      let requests = try RaggedIndex(lengths: [3, 0, 1, 4])
      let offsets = [0, 9, 77, 1_000]
      let positions = [0, 1, 2, 77, 1_000, 1_001, 1_002, 1_003]
      let queries = Matrix.random(8, 3 * head, padding: 1, using: &random)
      let keys = Matrix.random(8, head, padding: 2, using: &random)
      let exact = (
        Self.turned(queries, head: head, embedding, positions),
        Self.turned(keys, head: head, embedding, positions)
      )
      var all = RotaryTable(embedding)
      all.fill(positions: 0..<1_010)
      let foreign = Matrix(1_010, dimension, padding: 1, filled: 0)
      for position in 0..<1_010 {
        for (i, frequency) in embedding.frequencies.enumerated() {
          let angle = Double(position) * frequency
          foreign[position, i] = Float(embedding.amplitude * cos(angle))
          foreign[position, dimension / 2 + i] = Float(embedding.amplitude * sin(angle))
        }
      }
      var cached = RotaryTable(try RotaryEmbedding(pairing: pairing, dimension: dimension))
      try cached.fill(cosSinCache: foreign.view)
      let ways: [(MatrixView, MatrixView) throws -> Void] = [
        {
          try device.applyRoPE(
            queries: $0, keys: $1, headDimension: head, embedding, positions: positions)
        },
        {
          try device.applyRoPE(
            queries: $0, keys: $1, headDimension: head, embedding, requests: requests,
            offsets: offsets)
        },
        { [all] in
          try device.applyRoPE(
            queries: $0, keys: $1, headDimension: head, all, entries: positions)
        },
        { [cached] in
          try device.applyRoPE(
            queries: $0, keys: $1, headDimension: head, cached, entries: positions)
        },
      ]
      for apply in ways {
        let q = Matrix(8, 3 * head, padding: 1, filled: 0)
        let k = Matrix(8, head, padding: 2, filled: 0)
        try device.add(queries.view, to: q.view)
        try device.add(keys.view, to: k.view)
        try apply(q.view, k.view)
        #expect(Self.close(q, exact.0) && Self.close(k, exact.1))
        #expect(q.paddingIsUntouched && k.paddingIsUntouched)
      }
    }
  }

  /// The last elements of a head turn, as in MLA, and the input stays.
  @Test func outOfPlaceAndWithinAHead() throws {
    let device = try CPUDevice(threads: 2)
    var random = SplitMix(state: 53)
    let embedding = try RotaryEmbedding(pairing: .halves, dimension: 6)
    var table = RotaryTable(embedding)
    table.fill(positions: [5, 6])
    let x = Matrix.random(2, 3 * 11, using: &random)
    let before = x.values
    let y = Matrix(2, 3 * 11, padding: 4, filled: .nan)
    try device.rotate(x.view, heads: 3, by: table, first: 5, into: y.view)
    #expect(x.values == before)
    #expect(Self.close(y, Self.turned(x, head: 11, first: 5, embedding, [5, 6])))
    #expect(y.paddingIsUntouched)
  }

  @Test func argumentsAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    var table = RotaryTable(try RotaryEmbedding(pairing: .halves, dimension: 4))
    table.fill(positions: 0..<2)
    let x = Matrix(2, 8, filled: 1)
    let three = Matrix(3, 8, filled: 1)
    let full = table
    for body: () throws -> Void in [
      { try device.rotate(x.view, heads: 3, by: full) },
      { try device.rotate(x.view, heads: 0, by: full) },
      { try device.rotate(x.view, heads: 4, by: full) },
      { try device.rotate(x.view, heads: 2, by: full, first: 1) },
      { try device.rotate(x.view, heads: 2, by: full, entries: [0]) },
      { try device.rotate(x.view, heads: 2, by: full, entries: [0, 2]) },
      { try device.rotate(x.view, heads: 2, by: full, entries: [-1, 0]) },
      { try device.rotate(three.view, heads: 2, by: full) },
      { try device.applyRoPE(queries: x.view, keys: three.view, headDimension: 4, full) },
      { try device.applyRoPE(queries: x.view, keys: x.view, headDimension: 3, full) },
      {
        try device.applyRoPE(
          queries: x.view, keys: x.view, headDimension: 4, full.embedding, positions: [1])
      },
      {
        try device.applyRoPE(
          queries: x.view, keys: x.view, headDimension: 4, full.embedding,
          requests: RaggedIndex(lengths: [1]), offsets: [0])
      },
    ] {
      #expect(throws: CPUDevice.OperatorFailure.self) { try body() }
    }
    #expect(x.values == [Float](repeating: 1, count: 16))
    #expect(throws: RotaryEmbedding.Failure.self) {
      try table.fill(cosSinCache: Matrix(1, 3, filled: 0).view)
    }
  }

  /// The formula of transformers' "dynamic": dimension 8, base 10000, factor 2, context 16.
  @Test func dynamicNTK() throws {
    func embedding(_ length: Int) throws -> RotaryEmbedding {
      try RotaryEmbedding(
        pairing: .halves, dimension: 8, scaling: .dynamicNTK(factor: 2, originalContext: 16),
        sequenceLength: length)
    }
    let plain = try RotaryEmbedding(pairing: .halves, dimension: 8)
    #expect(try embedding(0).frequencies == plain.frequencies)
    #expect(try embedding(16).frequencies == plain.frequencies)
    let base = 10_000 * pow(2.0 * 48 / 16 - 1, 8.0 / 6)
    for (i, frequency) in try embedding(48).frequencies.enumerated() {
      #expect(abs(frequency / pow(base, -Double(i) / 4) - 1) < 1e-12)
    }
    #expect(throws: RotaryEmbedding.Failure.dimension(2)) {
      try RotaryEmbedding(
        pairing: .halves, dimension: 2, scaling: .dynamicNTK(factor: 2, originalContext: 16))
    }
  }

  /// LongRoPE as in Phi-3: 4096 tokens stretched to 131072.
  @Test func longRoPE() throws {
    func embedding(_ length: Int, _ attention: Double? = nil) throws -> RotaryEmbedding {
      try RotaryEmbedding(
        pairing: .halves, dimension: 6,
        scaling: .longRoPE(
          shortFactors: [1, 1.5, 2], longFactors: [1, 8, 60], context: 131_072,
          originalContext: 4_096, attentionFactor: attention),
        sequenceLength: length)
    }
    for (length, factors) in [(4_096, [1, 1.5, 2]), (4_097, [1, 8, 60])] {
      for (i, frequency) in try embedding(length).frequencies.enumerated() {
        #expect(abs(frequency * factors[i] / pow(10_000, -Double(i) / 3) - 1) < 1e-12)
      }
    }
    // √(1 + ln 32 / ln 4096) = √(1 + 5/12)
    #expect(abs(try embedding(1).amplitude - (17.0 / 12).squareRoot()) < 1e-12)
    #expect(try embedding(1, 1.25).amplitude == 1.25)
    #expect(throws: RotaryEmbedding.Failure.factorCount(expected: 3, found: 2)) {
      try RotaryEmbedding(
        pairing: .halves, dimension: 6,
        scaling: .longRoPE(
          shortFactors: [1, 1, 1], longFactors: [1, 1], context: 8, originalContext: 4))
    }
  }
}
