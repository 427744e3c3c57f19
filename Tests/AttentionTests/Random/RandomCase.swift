import Attention
import Devices
import Tensors
import Testing

/// A case by its number: the cell of variant × format × element type × kind of step, and everything
/// else by chance.
///
/// Numbers that follow each other are of cells far apart; any `cells` of them are all cells.
struct RandomCase {
  /// Decode, prefill or both.
  enum Step: CaseIterable {
    case decode
    case prefill
    case mixed
  }

  /// Where a batch's pages and block rows come from.
  enum Format: CaseIterable {
    case pages
    case nhd
    case hnd
    case latent
    case sharedPrefix
    case positions
    case blockMask
    case blockMaskPerHead
    case importance
    case coveredMask
    case speculation
  }

  static let elementTypes = [
    ElementType.float32, .float16, .bfloat16, .float8E4M3, .float8E5M2, .int8,
  ]
  static let cells =
    RandomVariants.count * Format.allCases.count * elementTypes.count * Step.allCases.count

  let number: Int
  let format: Format
  let step: Step
  let elementType: ElementType
  let shape: AttentionShape
  let variant: AttentionVariant
  let pageSize: Int
  private(set) var random: Random

  init(_ number: Int) {
    self.number = number
    random = Random(UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
    // The factor shares no divisor with the number of cells.
    var cell = number % Self.cells * 1_000_003 % Self.cells
    func next<T>(_ choices: [T]) -> T {
      defer { cell /= choices.count }
      return choices[cell % choices.count]
    }
    format = next(Format.allCases)
    step = next(Step.allCases)
    elementType = next(Self.elementTypes)
    let kvHeads = format == .latent ? 1 : Int.random(in: 1...2, using: &random)
    let group = [1, 2, 3, 4, 5, 8].random(&random)
    let d =
      random.oneIn(12) ? [64, 80, 128].random(&random) : Int.random(in: 2...24, using: &random)
    let dv =
      format == .latent
      ? Int.random(in: 1...d, using: &random)
      : random.oneIn(3) ? Int.random(in: 1...30, using: &random) : d
    shape = AttentionShape(
      queryHeads: kvHeads * group, kvHeads: kvHeads, headDimension: d, valueDimension: dv)
    variant = next(RandomVariants.make(shape, Int.random(in: 1...40, using: &random)))
    pageSize = [1, 2, 3, 5, 7, 16, 32, 48].random(&random)
  }

  /// The variants' number shares no divisor with others' that would leave cells out.
  static var visitsEveryCell: Bool {
    var (a, b) = (1_000_003, cells)
    while b > 0 { (a, b) = (b, a % b) }
    return a == 1
  }

  /// Runs the case in one way of planning and compares it with the oracle.
  func check() throws {
    var random = random
    let level = InstructionSet.available.random(&random)
    var (test, runs) = try pool(&random)
    test.variant = variant
    test.elementType = elementType
    if elementType.blockBytes == 1, test.memory != .latent {
      test.scales = (
        (0..<shape.kvHeads).map { 0.004 + Float($0) / 1_000 },
        (0..<shape.kvHeads).map { 0.005 + Float($0) / 1_000 }
      )
    }
    if test.tensors == VariantTensors() {
      test.tensors = VariantCase.randomTensors(variant, test.batch, shape)
    }
    test.seed = UInt64(number)
    test.smallestOutput = variant.usesSoftmax ? 0.3 : 1
    let rows = test.batch.queries.total * shape.queryHeads
    // An odd stride, so that every head has its turn.
    test.sample = max(rows / 12, 1) | 1
    let workers = Int.random(in: 1...9, using: &random)
    let device = try Self.devices[level] ?? CPUDevice(threads: 1, instructionSet: level)
    // Keys that a functor makes of their request's data cannot be read together.
    if case .some(.keysOfRequest) = try test.refusal(of: runs, device) { runs = [] }
    let plannings: [PoolCase.Planning] = [
      .workers(workers, runs.isEmpty ? .automatic : .explicit(runs)), .workers(workers),
      .workers(workers, .off), .bounded(workers: workers),
    ]
    try test.check(
      device, "\(self), \(level)", plannings: [plannings[0], plannings.random(&random)],
      tolerance: 3)
  }

  private static let devices = Dictionary(
    uniqueKeysWithValues: InstructionSet.available.compactMap { level in
      (try? CPUDevice(threads: 1, instructionSet: level)).map { (level, $0) }
    })
}

extension RandomCase: CustomStringConvertible {
  var description: String {
    "case \(number): \(variant.name), \(format), \(elementType), \(step), \(shape), "
      + "pages of \(pageSize)"
  }
}

extension Array {
  /// One of the elements; the array is not empty.
  func random(_ random: inout Random) -> Element {
    self[Int(random.next() % UInt64(count))]
  }
}

extension Random {
  mutating func oneIn(_ count: UInt64) -> Bool { next() % count == 0 }
}
