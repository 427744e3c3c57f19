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

  init(shape: AttentionShape, threads count: Int, variants: [VariantScratch]) {
    self.shape = shape
    for i in 0..<count {
      var layout = Scratch.Layout()
      _ = Scratch(&layout, base: nil, shape, variants[i])
      let memory = AlignedBuffer(byteCount: layout.bytes)
      layout = Scratch.Layout()
      let scratch = Scratch(
        &layout, base: memory.bytes.baseAddress, shape, variants[i])
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
  private(set) var queries: UnsafeMutablePointer<Float>
  /// The score tile, later probabilities.
  let scores: UnsafeMutablePointer<Float>
  /// The output tile, not yet divided by the sum.
  private(set) var output: UnsafeMutablePointer<Float>
  let outputPitch: Int
  /// Running maximum and sum of each row, and the factor of the old output.
  private(set) var maximum: UnsafeMutablePointer<Float>
  private(set) var sum: UnsafeMutablePointer<Float>
  let rescale: UnsafeMutablePointer<Float>
  /// What of a score tile each row sees, and each strip of rows.
  let visible: UnsafeMutablePointer<swa_span>
  let spans: UnsafeMutablePointer<swa_span>
  /// The addresses of the tile's panels of keys and values, and of the next tile's keys.
  let panels: UnsafeMutablePointer<UnsafeRawPointer?>
  let values: UnsafeMutablePointer<UnsafeRawPointer?>
  let nextPanels: UnsafeMutablePointer<UnsafeRawPointer?>
  /// The addresses of keys and values that lie token after token, of this tile and the next.
  let keyRows: UnsafeMutablePointer<UnsafeRawPointer?>
  let valueRows: UnsafeMutablePointer<UnsafeRawPointer?>
  let nextKeyRows: UnsafeMutablePointer<UnsafeRawPointer?>
  let nextValueRows: UnsafeMutablePointer<UnsafeRawPointer?>
  /// Panels made from rows, or widened.
  private let keyPanels: UnsafeMutablePointer<Float>
  private let valuePanels: UnsafeMutablePointer<Float>
  private let keyPanelFloats: Int
  private let valuePanelFloats: Int
  /// A last panel of values.
  let clearedValues: UnsafeMutablePointer<Float>
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
    _ variant: VariantScratch
  ) {
    let rows = AttentionPlan.largestTile
    let keys = AttentionWorkspace.tileKeys
    let padded = shape.headDimension + shape.headDimension % 2
    let blocks = keys / Int(SWA_PANEL_TOKENS)
    outputPitch = (shape.valueDimension + 31) / 32 * 32
    places = layout.take(RowPlace.self, rows, of: base)
    queryRows = layout.take(UnsafePointer<Float>?.self, rows, of: base)
    queries = layout.take(Float.self, rows * padded, of: base)
    scores = layout.take(Float.self, rows * AttentionWorkspace.scorePitch, of: base)
    output = layout.take(Float.self, rows * outputPitch, of: base)
    maximum = layout.take(Float.self, rows, of: base)
    sum = layout.take(Float.self, rows, of: base)
    rescale = layout.take(Float.self, rows, of: base)
    visible = layout.take(swa_span.self, rows, of: base)
    spans = layout.take(swa_span.self, rows, of: base)
    panels = layout.take(UnsafeRawPointer?.self, blocks, of: base)
    values = layout.take(UnsafeRawPointer?.self, blocks, of: base)
    nextPanels = layout.take(UnsafeRawPointer?.self, blocks, of: base)
    keyRows = layout.take(UnsafeRawPointer?.self, keys, of: base)
    valueRows = layout.take(UnsafeRawPointer?.self, keys, of: base)
    nextKeyRows = layout.take(UnsafeRawPointer?.self, keys, of: base)
    nextValueRows = layout.take(UnsafeRawPointer?.self, keys, of: base)
    keyPanelFloats = padded * Int(SWA_PANEL_TOKENS)
    valuePanelFloats = (shape.valueDimension + 15) / 16 * 16 * Int(SWA_PANEL_TOKENS)
    keyPanels = layout.take(Float.self, blocks * keyPanelFloats, of: base)
    valuePanels = layout.take(Float.self, blocks * valuePanelFloats, of: base)
    clearedValues = layout.take(Float.self, valuePanelFloats, of: base)
    self.variant = variant
    if base != nil {
      // What is fetched ahead must be an address; before there is a next tile, any will do.
      let idle = UnsafeRawPointer(scores)
      nextPanels.update(repeating: idle, count: blocks)
      nextKeyRows.update(repeating: idle, count: keys)
      nextValueRows.update(repeating: idle, count: keys)
    }
  }

  /// Room for panel `i` of packed keys, and of packed values.
  func packedKeys(_ i: Int) -> UnsafeMutablePointer<Float> { keyPanels + i * keyPanelFloats }
  func packedValues(_ i: Int) -> UnsafeMutablePointer<Float> { valuePanels + i * valuePanelFloats }

  /// The memory as the `number`-th of several heads sees it, whose tiles of `rows` rows are worked
  /// on together: queries and state of its own, the rest shared.
  func part(_ number: Int, rows: Int) -> Scratch {
    var part = self
    part.queries += number * rows * (keyPanelFloats / Int(SWA_PANEL_TOKENS))
    part.output += number * rows * outputPitch
    part.maximum += number * rows
    part.sum += number * rows
    part.variant.rowValues += number * rows
    part.variant.pointers += number * rows
    part.variant.bits += number * rows
    return part
  }
}
