internal import Tensors

/// The memory that a backward pass works in.
final class GradientWorkspace {
  /// Packed rows (query, head of the group) of a tile: a multiple of every register block's rows.
  static let tileRows = 48
  /// Keys of a tile: a multiple of those too, and of the keys of a panel.
  static let tileKeys = 192
  /// Floats from one row of scores to the next: an odd number of lines, so that the rows of a block
  /// do not fall into the same cache sets.
  static let scorePitch = tileKeys + 16

  /// Floats from one row of `dimension` elements to the next: whole vectors, an odd number of lines.
  static func pitch(_ dimension: Int) -> Int { (dimension + 15) / 16 / 2 * 32 + 16 }

  /// Rows of a panel of transposed vectors.
  static func panelHeight(_ dimension: Int) -> Int { (dimension + 3) / 4 * 4 }

  private let shape: AttentionShape
  private let threads: Int
  /// The programs that the memory is made for.
  var programs: GradientPrograms {
    didSet { rowCapacity = -1 }
  }
  private var memory: [AlignedBuffer] = []
  private var rowCapacity = -1
  private var partialCapacity = 0
  private var sumCapacity = 0
  let scratches = Section<GradientScratch>()
  private(set) var partials = AlignedBuffer(byteCount: 0)
  private(set) var sums = AlignedBuffer(byteCount: 0)

  init(shape: AttentionShape, threads: Int, programs: GradientPrograms) {
    self.shape = shape
    self.threads = threads
    self.programs = programs
  }

  /// Makes room for a schedule.
  func reserve(_ schedule: GradientSchedule) throws(DifferentiableAttention.Failure) {
    if schedule.largestRequest > rowCapacity {
      try makeScratches(rows: schedule.largestRequest)
      rowCapacity = schedule.largestRequest
    }
    if schedule.partialRows > partialCapacity {
      partials = try Self.memory(schedule.partialRows * Self.pitch(shape.headDimension) * 4)
      partialCapacity = schedule.partialRows
    }
    let count = schedule.units.count * programs.parameters.count * shape.groupSize
    if count > sumCapacity {
      sums = try Self.memory(count * MemoryLayout<Double>.stride)
      sumCapacity = count
    }
  }

  private static func memory(_ bytes: Int) throws(DifferentiableAttention.Failure)
    -> AlignedBuffer
  {
    guard let buffer = AlignedBuffer(trying: bytes) else { throw .memory(bytes: bytes) }
    return buffer
  }

  private func makeScratches(rows: Int) throws(DifferentiableAttention.Failure) {
    rowCapacity = -1
    memory.removeAll()
    scratches.removeAll()
    for _ in 0..<threads {
      var layout = PlanMemory()
      _ = GradientScratch(&layout, shape, programs, rows: rows)
      let buffer = try Self.memory(layout.bytes)
      layout = PlanMemory(buffer.bytes.baseAddress)
      scratches.append(GradientScratch(&layout, shape, programs, rows: rows))
      memory.append(buffer)
    }
  }
}

/// One thread's working memory of a backward pass.
///
/// Rows of vectors are padded to whole lines; the padding is zero at first and stays so.
///
/// - Invariant: Pointers into a buffer of the workspace, disjoint.
struct GradientScratch {
  /// Queries and output gradients of a tile.
  let queries: UnsafeMutablePointer<Float>
  let outputGradients: UnsafeMutablePointer<Float>
  /// Scores, later weights; weights' gradients, later scores' gradients.
  let scores: UnsafeMutablePointer<Float>
  let scoreGradients: UnsafeMutablePointer<Float>
  /// Keys, scaled, and values of a tile, row by row and as panels.
  let keys: UnsafeMutablePointer<Float>
  let values: UnsafeMutablePointer<Float>
  let keyPanels: UnsafeMutablePointer<Float>
  let valuePanels: UnsafeMutablePointer<Float>
  /// The gradients of the tile's keys (by the scale) and values.
  let keyGradients: UnsafeMutablePointer<Float>
  let valueGradients: UnsafeMutablePointer<Float>
  /// The gradient of all the request's queries.
  let queryGradients: UnsafeMutablePointer<Float>
  /// Of each row: the log-sum-exp, +∞ for an empty row, and Σ dO·O less the log-sum-exp's gradient.
  let lse: UnsafeMutablePointer<Float>
  let delta: UnsafeMutablePointer<Float>
  /// Registers of scalar programs, and of block programs with the vectors of their columns.
  let scalars: UnsafeMutablePointer<Double>
  let registers: UnsafeMutablePointer<Float>
  let columns: UnsafeMutablePointer<Float>
  /// Values and pointers of each row of a tile, `tileRows` apart.
  let rowValues: UnsafeMutablePointer<Float>
  let pointers: UnsafeMutablePointer<UnsafeRawPointer?>
  let bits: UnsafeMutablePointer<Int>

  init(
    _ layout: inout PlanMemory, _ shape: AttentionShape, _ programs: GradientPrograms, rows: Int
  ) {
    typealias Size = GradientWorkspace
    let (head, value) = (Size.pitch(shape.headDimension), Size.pitch(shape.valueDimension))
    queries = layout.take(Float.self, Size.tileRows * head)
    outputGradients = layout.take(Float.self, Size.tileRows * value)
    scores = layout.take(Float.self, Size.tileRows * Size.scorePitch)
    scoreGradients = layout.take(Float.self, Size.tileRows * Size.scorePitch)
    keys = layout.take(Float.self, Size.tileKeys * head)
    values = layout.take(Float.self, Size.tileKeys * value)
    keyPanels = layout.take(
      Float.self, Size.tileKeys * Size.panelHeight(shape.headDimension))
    valuePanels = layout.take(
      Float.self, Size.tileKeys * Size.panelHeight(shape.valueDimension))
    keyGradients = layout.take(Float.self, Size.tileKeys * head)
    valueGradients = layout.take(Float.self, Size.tileKeys * value)
    queryGradients = layout.take(Float.self, rows * head)
    lse = layout.take(Float.self, rows)
    delta = layout.take(Float.self, rows)
    let views = [programs.masked.view, programs.unmasked.view]
    func most(_ count: (ScoreProgram.View) -> Int) -> Int { views.map(count).max() ?? 0 }
    scalars = layout.take(Double.self, programs.scalarCount)
    registers = layout.take(
      Float.self, most { $0.program.registerCount * $0.registerSize })
    columns = layout.take(
      Float.self,
      max(programs.masked.columnCount, programs.unmasked.columnCount) * Size.scorePitch)
    rowValues = layout.take(
      Float.self, most { $0.program.tokens.outputCount } * Size.tileRows)
    let pointerCount = most { $0.program.pointerCount } * Size.tileRows
    pointers = layout.take(UnsafeRawPointer?.self, pointerCount)
    bits = layout.take(Int.self, pointerCount)
  }
}
