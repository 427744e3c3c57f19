internal import CMicrokernels
internal import Tensors

/// The memory that a plan's runs work in, fixed before they start.
final class AttentionWorkspace {
  /// Keys of a score tile.
  static let tileKeys = 128
  /// Floats from one row of scores to the next: a little more than the keys, so that the rows of a
  /// block do not fall into the same cache sets.
  static let scorePitch = tileKeys + 16

  private let shape: AttentionShape
  private let threads: Int
  private let program: TileProgram.Executable
  private let valueStrip: Int
  private var memory: [AlignedBuffer] = []
  private var stateCapacity = 0
  private var isFixed = false
  let scratches = Section<Scratch>()
  /// Partial states: outputs of `valueDimension` floats, and natural log-sum-exps.
  private(set) var partialOutput: UnsafeMutablePointer<Float>
  private(set) var partialLSE: UnsafeMutablePointer<Float>

  init(shape: AttentionShape, threads: Int, program: TileProgram.Executable, valueStrip: Int) {
    self.shape = shape
    self.threads = threads
    self.program = program
    self.valueStrip = valueStrip
    var states = PlanMemory()
    partialOutput = states.take(Float.self, 0)
    partialLSE = states.take(Float.self, 0)
  }

  /// Takes memory that grows as batches need it.
  func allocate() {
    var size = PlanMemory()
    placeScratches(&size)
    let buffer = AlignedBuffer(byteCount: size.bytes)
    var memory = PlanMemory(buffer.bytes.baseAddress)
    placeScratches(&memory)
    self.memory = [buffer]
  }

  /// Makes room for partial states, each of one row.
  func reserve(states: Int) {
    guard states > stateCapacity, !isFixed else { return }
    stateCapacity = max(states, 2 * stateCapacity)
    var size = PlanMemory()
    placeStates(&size, stateCapacity)
    let buffer = AlignedBuffer(byteCount: size.bytes)
    var memory = PlanMemory(buffer.bytes.baseAddress)
    placeStates(&memory, stateCapacity)
    self.memory = Array(self.memory.prefix(1)) + [buffer]
  }

  /// Counts, or takes, the memory of batches within bounds.
  func place(_ memory: inout PlanMemory, states: Int) {
    placeScratches(&memory)
    placeStates(&memory, states)
  }

  /// Keeps the memory that everything has been placed in.
  func keep(_ buffer: AlignedBuffer) {
    memory = [buffer]
    isFixed = true
  }

  private func placeScratches(_ memory: inout PlanMemory) {
    if !memory.isCounting { scratches.removeAll() }
    for _ in 0..<threads {
      let scratch = Scratch(&memory, shape, program, valueStrip: valueStrip)
      if !memory.isCounting { scratches.append(scratch) }
    }
  }

  private func placeStates(_ memory: inout PlanMemory, _ states: Int) {
    let output = memory.take(Float.self, states * shape.valueDimension)
    let lse = memory.take(Float.self, states)
    if !memory.isCounting { (partialOutput, partialLSE) = (output, lse) }
  }

  /// The bytes in use: everything where there are bounds, otherwise what runs write.
  var byteCount: Int { memory.reduce(0) { $0 + $1.bytes.count } }
}

/// One thread's working memory.
///
/// - Invariant: Pointers into a buffer of the workspace, disjoint, each on a cache line of its own.
struct Scratch {
  /// Where each row of a tile stands.
  let places: UnsafeMutablePointer<RowPlace>
  /// The addresses of the query rows of a tile.
  let queryRows: UnsafeMutablePointer<UnsafePointer<Float>?>
  /// Packed queries.
  let queries: UnsafeMutablePointer<Float>
  /// The score tile, later probabilities.
  let scores: UnsafeMutablePointer<Float>
  /// The output tile, not yet divided by the sum.
  let output: UnsafeMutablePointer<Float>
  let outputPitch: Int
  /// Running maximum and sum of each row, and the factor of the old output.
  let maximum: UnsafeMutablePointer<Float>
  let sum: UnsafeMutablePointer<Float>
  let rescale: UnsafeMutablePointer<Float>
  /// The addresses of the tile's key panels.
  let panels: UnsafeMutablePointer<UnsafeRawPointer?>
  /// The addresses of the tile's keys, where keys lie token after token.
  let keyRows: UnsafeMutablePointer<UnsafeRawPointer?>
  /// The addresses of the tile's values.
  let valueRows: UnsafeMutablePointer<UnsafeRawPointer?>
  /// Blocks of 16 values, and of 16 keys of the next tile, to fetch ahead.
  let valueBlocks: UnsafeMutablePointer<UnsafeRawPointer?>
  let keyBlocks: UnsafeMutablePointer<UnsafeRawPointer?>
  /// Keys transposed on the fly.
  let packedKeys: UnsafeMutablePointer<Float>
  /// Values converted for tiles of many rows.
  let packedValues: UnsafeMutablePointer<Float>
  /// Registers of tile programs.
  let scalars: UnsafeMutablePointer<Double>
  let vectors: UnsafeMutablePointer<Float>

  init(
    _ layout: inout PlanMemory, _ shape: AttentionShape, _ program: TileProgram.Executable,
    valueStrip: Int
  ) {
    let rows = AttentionPlan.largestTile
    let keys = AttentionWorkspace.tileKeys
    let padded = shape.headDimension + shape.headDimension % 2
    outputPitch = (shape.valueDimension + 31) / 32 * 32
    let strips = (shape.valueDimension + valueStrip - 1) / valueStrip * valueStrip
    places = layout.take(RowPlace.self, rows)
    queryRows = layout.take(UnsafePointer<Float>?.self, rows)
    queries = layout.take(Float.self, rows * padded)
    scores = layout.take(Float.self, rows * AttentionWorkspace.scorePitch)
    output = layout.take(Float.self, rows * outputPitch)
    maximum = layout.take(Float.self, rows)
    sum = layout.take(Float.self, rows)
    rescale = layout.take(Float.self, rows)
    let blocks = keys / Int(SWA_PANEL_TOKENS)
    panels = layout.take(UnsafeRawPointer?.self, blocks)
    valueBlocks = layout.take(UnsafeRawPointer?.self, blocks)
    keyBlocks = layout.take(UnsafeRawPointer?.self, blocks)
    keyRows = layout.take(UnsafeRawPointer?.self, keys)
    valueRows = layout.take(UnsafeRawPointer?.self, keys)
    packedKeys = layout.take(Float.self, keys * padded)
    packedValues = layout.take(Float.self, keys * strips)
    scalars = layout.take(Double.self, program.scalarCount)
    vectors = layout.take(
      Float.self, max(program.vectorCount - 1, 0) * AttentionWorkspace.scorePitch)
  }
}
