import Attention
import Devices
import Glibc
import Tensors
import Testing

/// The merge over tensors, against its definition in Double.
@Suite struct MergeTests {
  /// Owned states whose rows are apart, filled with NaN.
  private final class Owned {
    let memory: AlignedBuffer
    let states: AttentionStates

    init(rows: Int, heads: Int, dimension: Int, base: LogSumExp.Base) {
      let (wide, narrow) = (heads * dimension + 3, heads + 1)
      memory = AlignedBuffer(byteCount: (rows * (wide + narrow) + 1) * 4)
      let all = memory.elements(Float.self)
      all.update(repeating: .nan)
      let start = all.baseAddress.unsafelyUnwrapped + 1
      states = AttentionStates(
        outputs: MatrixView(start, rows: rows, columns: heads * dimension, stride: wide),
        logSumExps: MatrixView(
          start + rows * wide, rows: rows, columns: heads, stride: narrow),
        base: base)
    }

    func lse(_ row: Int, _ head: Int) -> Float {
      LogSumExp(states.logSumExps.row(row)[head], base: states.base).natural
    }

    func output(_ row: Int, _ head: Int, _ i: Int) -> Float {
      states.outputs.row(row)[head * states.dimension + i]
    }

    /// Random states; every fifth is empty, its output NaN.
    func fill(_ random: inout Random) {
      for row in 0..<states.rows {
        for head in 0..<states.heads {
          let empty = random.next() % 5 == 0
          states.logSumExps.row(row)[head] = empty ? -.infinity : random.float() * 30
          for i in 0..<states.dimension where !empty {
            states.outputs.row(row)[head * states.dimension + i] = random.float()
          }
        }
      }
    }
  }

  /// The merge of some states' (LSE, output element), plainly.
  private func merged(_ states: [(lse: Float, output: Float)]) -> (lse: Double, output: Double) {
    let kept = states.filter { $0.lse != -.infinity }
    guard let top = kept.map({ Double($0.lse) }).max() else { return (-.infinity, 0) }
    let weights = kept.map { exp(Double($0.lse) - top) }
    let total = weights.reduce(0, +)
    return (
      top + log(total), zip(weights, kept).reduce(0) { $0 + $1.0 * Double($1.1.output) } / total
    )
  }

  private func check(_ result: Owned, _ row: Int, _ sources: [(Owned, Int)]) {
    for head in 0..<result.states.heads {
      for i in 0..<result.states.dimension {
        let exact = merged(sources.map { ($0.lse($1, head), $0.output($1, head, i)) })
        if exact.lse == -.infinity {
          #expect(result.output(row, head, i) == 0 && result.lse(row, head) == -.infinity)
        } else {
          #expect(abs(Double(result.output(row, head, i)) - exact.output) <= 1e-5)
          #expect(abs(Double(result.lse(row, head)) - exact.lse) <= 1e-5)
        }
      }
    }
  }

  @Test(arguments: InstructionSet.available, [1, 40, 129])
  func pairs(level: InstructionSet, dimension: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for base in [LogSumExp.Base.natural, .two] {
      try checkPairs(device, base, dimension)
    }
  }

  private func checkPairs(_ device: CPUDevice, _ base: LogSumExp.Base, _ dimension: Int) throws {
    var random = Random(5)
    func make() -> Owned { Owned(rows: 37, heads: 3, dimension: dimension, base: base) }
    let (a, b, result, inPlace) = (make(), make(), make(), make())
    a.fill(&random)
    b.fill(&random)
    try device.mergeState(a.states, b.states, into: result.states)
    for row in 0..<37 { check(result, row, [(a, row), (b, row)]) }
    // In place: the same bits, and masked rows untouched.
    for i in inPlace.memory.bytes.indices { inPlace.memory.bytes[i] = a.memory.bytes[i] }
    let mask = (0..<37).map { $0 % 3 != 0 }
    try device.mergeStateInPlace(inPlace.states, b.states, mask: mask)
    for row in 0..<37 {
      for head in 0..<3 {
        let expected = mask[row] ? result : a
        #expect(inPlace.lse(row, head) == expected.lse(row, head))
        for i in 0..<dimension {
          #expect(
            inPlace.output(row, head, i).bitPattern == expected.output(row, head, i).bitPattern)
        }
      }
    }
  }

  @Test func emptyIsAnExactIdentity() throws {
    let device = try CPUDevice(threads: 1)
    for base in [LogSumExp.Base.natural, .two] {
      var random = Random(7)
      let a = Owned(rows: 9, heads: 2, dimension: 5, base: base)
      a.fill(&random)
      let empty = Owned(rows: 9, heads: 2, dimension: 5, base: .two)
      for row in 0..<9 { for head in 0..<2 { empty.states.logSumExps.row(row)[head] = -.infinity } }
      let result = Owned(rows: 9, heads: 2, dimension: 5, base: base)
      for (x, y) in [(a, empty), (empty, a)] {
        try device.mergeState(x.states, y.states, into: result.states)
        for row in 0..<9 {
          for head in 0..<2 {
            #expect(
              result.states.logSumExps.row(row)[head] == a.states.logSumExps.row(row)[head])
            for i in 0..<5 {
              let isEmpty = a.lse(row, head) == -.infinity
              #expect(result.output(row, head, i) == (isEmpty ? 0 : a.output(row, head, i)))
            }
          }
        }
      }
    }
  }

  @Test(
    arguments: InstructionSet.available, [LogSumExp.Base.natural, .two])
  func many(level: InstructionSet, base: LogSumExp.Base) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = Random(11)
    for count in [0, 1, 4] {
      let states = Owned(rows: 13 * count, heads: 2, dimension: 33, base: base)
      states.fill(&random)
      let result = Owned(rows: 13, heads: 2, dimension: 33, base: .natural)
      try device.mergeStates(states.states, count: count, into: result.states)
      for row in 0..<13 { check(result, row, (0..<count).map { (states, row * count + $0) }) }
    }
    let index = try RaggedIndex(lengths: [3, 0, 1, 7, 0])
    let states = Owned(rows: index.total, heads: 2, dimension: 64, base: base)
    states.fill(&random)
    let result = Owned(rows: 5, heads: 2, dimension: 64, base: base)
    try device.mergeStates(states.states, index: index, into: result.states)
    for row in 0..<5 { check(result, row, index[row].map { (states, $0) }) }
  }

  @Test func nanStaysInItsRow() throws {
    let device = try CPUDevice(threads: 1)
    var random = Random(13)
    let (a, b) = (
      Owned(rows: 3, heads: 1, dimension: 4, base: .natural),
      Owned(rows: 3, heads: 1, dimension: 4, base: .natural)
    )
    for states in [a, b] {
      states.fill(&random)
      for row in 0..<3 { states.states.logSumExps.row(row)[0] = 1 }
      for row in 0..<3 { for i in 0..<4 { states.states.outputs.row(row)[i] = 1 } }
    }
    a.states.logSumExps.row(1)[0] = .nan
    try device.mergeStateInPlace(a.states, b.states)
    #expect(a.lse(1, 0).isNaN && a.output(1, 0, 2).isNaN)
    #expect(a.output(0, 0, 0) == 1 && a.output(2, 0, 3) == 1)
  }

  @Test func shapesAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    func make(_ rows: Int, _ heads: Int, _ dimension: Int) -> Owned {
      Owned(rows: rows, heads: heads, dimension: dimension, base: .natural)
    }
    let a = make(2, 2, 4)
    for other in [make(3, 2, 4), make(2, 1, 4), make(2, 2, 5), make(2, 4, 2)] {
      #expect(throws: CPUDevice.OperatorFailure.self) {
        try device.mergeState(a.states, other.states, into: a.states)
      }
      #expect(throws: CPUDevice.OperatorFailure.self) {
        try device.mergeState(a.states, a.states, into: other.states)
      }
      #expect(throws: CPUDevice.OperatorFailure.self) {
        try device.mergeStates(other.states, count: 3, into: a.states)
      }
    }
    var torn = a.states
    torn.outputs.columns = 7
    #expect(throws: CPUDevice.OperatorFailure.self) { try device.mergeStateInPlace(torn, torn) }
    #expect(
      throws: CPUDevice.OperatorFailure.shape(
        operation: "mergeStateInPlace", argument: "mask", expected: "2 elements", found: "1")
    ) { try device.mergeStateInPlace(a.states, a.states, mask: [true]) }
    #expect(throws: CPUDevice.OperatorFailure.self) {
      try device.mergeStates(a.states, count: -1, into: a.states)
    }
    #expect(throws: CPUDevice.OperatorFailure.self) {
      try device.mergeStates(a.states, index: RaggedIndex(lengths: [1]), into: a.states)
    }
  }
}
