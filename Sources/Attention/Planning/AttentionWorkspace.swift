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
  private var threads: [(memory: AlignedBuffer, scratch: Scratch)] = []
  let scratches = Section<Scratch>()
  private(set) var partialOutput = AlignedBuffer(byteCount: 0)
  private(set) var partialLSE = AlignedBuffer(byteCount: 0)
  private var stateCapacity = 0

  init(shape: AttentionShape, threads count: Int, variants: [VariantScratch], valueStrip: Int) {
    self.shape = shape
    for i in 0..<count {
      var layout = Scratch.Layout()
      _ = Scratch(&layout, base: nil, shape, variants[i], valueStrip: valueStrip)
      let memory = AlignedBuffer(byteCount: layout.bytes)
      layout = Scratch.Layout()
      let scratch = Scratch(
        &layout, base: memory.bytes.baseAddress, shape, variants[i], valueStrip: valueStrip)
      threads.append((memory, scratch))
      scratches.append(scratch)
    }
  }

  /// Gives every thread other memory for the variant's programs.
  func attach(_ variants: [VariantScratch]) {
    for (i, variant) in variants.enumerated() { scratches.elements[i].variant = variant }
  }

  /// Makes room for partial states, each of one row.
  func reserve(states: Int) {
    guard states > stateCapacity else { return }
    stateCapacity = max(states, 2 * stateCapacity)
    partialOutput = AlignedBuffer(byteCount: stateCapacity * shape.valueDimension * 4)
    partialLSE = AlignedBuffer(byteCount: stateCapacity * 4)
  }
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
  /// Memory of the variant's programs.
  var variant: VariantScratch

  /// Hands out consecutive parts of a buffer; with no buffer it only counts.
  struct Layout {
    var bytes = 0

    mutating func take<T>(_ type: T.Type, _ count: Int, of base: UnsafeMutableRawPointer?)
      -> UnsafeMutablePointer<T>
    {
      // Counting needs some address that is never used.
      let start = base ?? UnsafeMutableRawPointer(bitPattern: 64).unsafelyUnwrapped
      let pointer = (start + bytes).assumingMemoryBound(to: T.self)
      // An odd number of lines after each part keeps parts out of each other's cache sets.
      bytes += (max(count, 1) * MemoryLayout<T>.stride + 63) / 64 * 64 + 64
      return pointer
    }
  }

  init(
    _ layout: inout Layout, base: UnsafeMutableRawPointer?, _ shape: AttentionShape,
    _ variant: VariantScratch, valueStrip: Int
  ) {
    let rows = AttentionPlan.largestTile
    let keys = AttentionWorkspace.tileKeys
    let padded = shape.headDimension + shape.headDimension % 2
    outputPitch = (shape.valueDimension + 31) / 32 * 32
    let strips = (shape.valueDimension + valueStrip - 1) / valueStrip * valueStrip
    places = layout.take(RowPlace.self, rows, of: base)
    queryRows = layout.take(UnsafePointer<Float>?.self, rows, of: base)
    queries = layout.take(Float.self, rows * padded, of: base)
    scores = layout.take(Float.self, rows * AttentionWorkspace.scorePitch, of: base)
    output = layout.take(Float.self, rows * outputPitch, of: base)
    maximum = layout.take(Float.self, rows, of: base)
    sum = layout.take(Float.self, rows, of: base)
    rescale = layout.take(Float.self, rows, of: base)
    let blocks = keys / Int(SWA_PANEL_TOKENS)
    panels = layout.take(UnsafeRawPointer?.self, blocks, of: base)
    valueBlocks = layout.take(UnsafeRawPointer?.self, blocks, of: base)
    keyBlocks = layout.take(UnsafeRawPointer?.self, blocks, of: base)
    keyRows = layout.take(UnsafeRawPointer?.self, keys, of: base)
    valueRows = layout.take(UnsafeRawPointer?.self, keys, of: base)
    packedKeys = layout.take(Float.self, keys * padded, of: base)
    packedValues = layout.take(Float.self, keys * strips, of: base)
    self.variant = variant
  }
}
