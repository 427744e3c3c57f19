import Checkpoints
import Devices
import Tensors

// Families whose reference is an operator of the processor on the same numbers in 32-bit floats.
extension OperatorCase {
  static func norm(_ type: ElementType, of stored: ElementType? = nil) -> OperatorCase {
    OperatorCase(
      name: "norm-\(type.rawValue)\(stored.map { "-of-\($0.rawValue)" } ?? "")", family: .norm,
      type: type, storedType: stored, limit: limit(type)
    ) { bench, operators, device in
      let stored = operators.storedType
      var noise = Noise(1)
      var worst = 0.0
      for (width, heads) in [(1, 1), (40, 5), (777, 1), (256, 2)] {
        let lists = Lists(bench)
        let x = noise.grid(bench, stored, 7, width * heads)
        let (weight, bias) = (noise.floats(width), noise.floats(width))
        let (weights, biases) = (try lists(weight), try lists(bias))
        for offset in [Float(0), 1] {
          let (y, z) = (Grid(bench, type, 7, width * heads), x.floats())
          try bench.run(
            operators.rmsNorm(
              x.matrix, weight: weights, offset: offset, epsilon: 1e-5, heads: heads, into: y.matrix
            ))
          if offset == 0 {
            try device.rmsNorm(z.view, weight: weight, epsilon: 1e-5, heads: heads, into: z.view)
          } else {
            try device.gemmaRMSNorm(
              z.view, weight: weight, epsilon: 1e-5, heads: heads, into: z.view)
          }
          worst = max(worst, y.error(z))
        }
        guard heads == 1 else { continue }
        for terms in [CUDAAddress.none, biases] where stored == type {
          let (y, z) = (Grid(bench, type, 7, width), x.floats())
          try bench.run(
            operators.layerNorm(
              x.matrix, weight: weights, bias: terms, epsilon: 1e-3, into: y.matrix))
          try device.layerNorm(
            z.view, weight: weight, bias: terms == .none ? nil : bias, epsilon: 1e-3, into: z.view)
          worst = max(worst, y.error(z))
        }
        // In place: the result takes the addend's memory. The sum is kept in the type, rounded.
        let delta = noise.grid(bench, type, 7, width)
        let residual = noise.grid(bench, stored, 7, width)
        let sum = Grid(bench, stored, 7, width) { residual[$0, $1] + delta[$0, $1] }
        let expected = sum.floats()
        try device.gemmaRMSNorm(expected.view, weight: weight, epsilon: 1e-5, into: expected.view)
        try bench.run(
          operators.fusedAddRMSNorm(
            delta.matrix, residual: residual.matrix, weight: weights, offset: 1, epsilon: 1e-5,
            into: delta.matrix))
        worst = max(worst, delta.error(expected), residual.error(sum))
      }
      return worst
    }
  }

  /// Sums with rows and with a bias; what is added to may be in 32-bit floats.
  static func sums(_ type: ElementType, to stored: ElementType? = nil) -> OperatorCase {
    OperatorCase(
      name: "sums-\(type.rawValue)\(stored.map { "-to-\($0.rawValue)" } ?? "")", family: .sums,
      type: type, storedType: stored, limit: 0
    ) { bench, operators, _ in
      var noise = Noise(6)
      var worst = 0.0
      for columns in [1, 40, 777] {
        let lists = Lists(bench)
        let x = noise.grid(bench, type, 7, columns)
        let y = noise.grid(bench, operators.storedType, 7, columns)
        let bias = noise.floats(columns)
        let sum = Grid(bench, operators.storedType, 7, columns) { y[$0, $1] + x[$0, $1] }
        let biased = Grid(bench, type, 7, columns) { x[$0, $1] + bias[$1] }
        try bench.run(operators.add(x.matrix, to: y.matrix))
        try bench.run(operators.add(bias: lists(bias), to: x.matrix))
        worst = max(worst, y.error(sum), x.error(biased))
      }
      return worst
    }
  }

  static func rotary(_ type: ElementType) -> OperatorCase {
    OperatorCase(name: "rotary-\(type.rawValue)", family: .rotary, type: type, limit: limit(type)) {
      bench, operators, device in
      var noise = Noise(2)
      var worst = 0.0
      let positions = [0, 1, 7, 777, 131_071, 1_000_003, 2_000_000_011]
      let factors = (0..<20).map { 1 + Double($0) / 4 }
      let scalings: [RotaryEmbedding.Scaling] = [
        .none, .linear(factor: 4), .perFrequency(factors.map { Float($0) }),
        .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192),
        .yarn(factor: 4, originalContext: 4096), .dynamicNTK(factor: 2, originalContext: 2048),
        .longRoPE(
          shortFactors: factors, longFactors: factors.map { $0 * 3 }, context: 131_072,
          originalContext: 4096),
      ]
      for scaling in scalings {
        for pairing in [RotaryEmbedding.Pairing.adjacent, .halves] {
          // Heads of 48 elements, of which 40 are turned, from the fifth on.
          let embedding = try RotaryEmbedding(
            pairing: pairing, dimension: 40, scaling: scaling, sequenceLength: 10_000)
          let lists = Lists(bench)
          let x = noise.grid(bench, type, positions.count, 3 * 48)
          let expected = x.floats()
          var table = RotaryTable(embedding)
          table.fill(positions: positions)
          try device.rotate(expected.view, heads: 3, by: table, first: 5)
          try bench.run(
            operators.rotate(
              x.matrix, heads: 3, embedding, turns: lists(embedding.turns),
              positions: lists(positions.map { Int32($0) }), first: 5))
          worst = max(worst, x.error(expected))
        }
      }
      return worst
    }
  }

  static func activation(_ type: ElementType) -> OperatorCase {
    OperatorCase(
      name: "activation-\(type.rawValue)", family: .activation, type: type, limit: limit(type)
    ) { bench, operators, device in
      var noise = Noise(3)
      var worst = 0.0
      for columns in [1, 37, 700] {
        let gate = Grid(bench, type, 5, columns) { _, _ in noise.float() * 6 }
        let up = noise.grid(bench, type, 5, columns)
        let (g, u) = (gate.floats(), up.floats())
        func compare(
          _ launch: (CUDAMatrix) throws -> CUDALaunch, _ reference: (MatrixView) throws -> Void
        )
          throws
        {
          let (y, z) = (
            Grid(bench, type, 5, columns), Grid(bench, .float32, 5, columns, padding: 0)
          )
          try bench.run(launch(y.matrix))
          try reference(z.view)
          worst = max(worst, y.error(z))
        }
        try compare({ try operators.siluAndMultiply(gate.matrix, up.matrix, into: $0) }) {
          try device.siluAndMultiply(g.view, u.view, into: $0)
        }
        try compare({ try operators.geluTanhAndMultiply(gate.matrix, up.matrix, into: $0) }) {
          try device.geluTanhAndMultiply(g.view, u.view, into: $0)
        }
        try compare({ try operators.geluAndMultiply(gate.matrix, up.matrix, into: $0) }) {
          try device.geluAndMultiply(g.view, u.view, into: $0)
        }
        try compare({ try operators.gelu(gate.matrix, into: $0) }) {
          try device.gelu(g.view, into: $0)
        }
      }
      return worst
    }
  }

  static func softmax(_ type: ElementType) -> OperatorCase {
    OperatorCase(name: "softmax-\(type.rawValue)", family: .softmax, type: type, limit: limit(type))
    { bench, operators, device in
      var noise = Noise(4)
      var worst = 0.0
      for columns in [1, 130, 1009] {
        let x = Grid(bench, type, 6, columns) { row, column in
          // Rows of −∞, with −∞, and with NaN.
          switch row {
          case 3: -.infinity
          case 4: column % 3 == 0 ? -.infinity : noise.float()
          case 5: column == columns - 1 ? .nan : noise.float()
          default: noise.float() * 20
          }
        }
        for temperatures in [[Float(0.7)], [1, 0.5, 2, 1, 1e-3, 1]] {
          let lists = Lists(bench)
          let y = Grid(bench, type, 6, columns) { x[$0, $1] }
          let expected = x.floats()
          try device.softmax(expected.view, temperatures: temperatures)
          try bench.run(
            operators.softmax(
              y.matrix, temperatures: lists(temperatures), isPerRow: temperatures.count > 1))
          worst = max(worst, y.error(expected))
        }
      }
      return worst
    }
  }

  /// Every stored type to the last bit, by ids some of which the table does not have, and whole.
  static var rows: [OperatorCase] {
    // Activations in turn: every type is stored by all families.
    CUDAOperators.rowTypes.enumerated().map { i, stored in
      let type = types[i % types.count]
      return OperatorCase(
        name: "rows-\(stored.rawValue)-\(type.rawValue)", family: .rows, type: type,
        storedType: stored, limit: 0
      ) { bench, operators, _ in
        var noise = Noise(5)
        let (tableRows, columns) = (5, 2 * 256)
        let bytes = AlignedBuffer(
          byteCount: tableRows * columns / stored.blockLength * stored.blockBytes)
        for i in 0..<bytes.bytes.count {
          bytes.bytes[i] = UInt8(truncatingIfNeeded: noise.word())
        }
        guard
          let tensor = StoredTensor(
            name: "table", type: stored, shape: [tableRows, columns],
            bytes: UnsafeRawBufferPointer(bytes.bytes), owner: bytes)
        else { return .infinity }
        let elements = tensor.dequantized()
        let lists = Lists(bench)
        let table = try bench.share(bytes)
        let ids = [3, 0, -1, 4, 5, 3, 1]
        let y = Grid(bench, type, ids.count, columns)
        try bench.run(
          operators.gather(
            table, tableRows: tableRows, ids: lists(ids.map { Int32($0) }), factor: 0.5,
            into: y.matrix))
        let named = Grid(bench, type, ids.count, columns) { row, column in
          (0..<tableRows).contains(ids[row]) ? elements[ids[row] * columns + column] * 0.5 : 0
        }
        // Some rows are named by another list.
        let carried = Grid(bench, type, 4, columns)
        try bench.run(
          operators.gather(
            table, tableRows: tableRows, ids: lists([-1, 2, -3, -2] as [Int32]),
            others: lists([4, -1, 0] as [Int32]), into: carried.matrix))
        let others = Grid(bench, type, 4, columns) { row, column in
          row == 3 ? 0 : elements[[4, 2, 0][row] * columns + column]
        }
        let z = Grid(bench, type, tableRows, columns)
        try bench.run(
          operators.gather(table, tableRows: tableRows, into: z.matrix))
        let all = Grid(bench, type, tableRows, columns) { elements[$0 * columns + $1] }
        return max(y.error(named), z.error(all), carried.error(others))
      }
    }
  }
}
