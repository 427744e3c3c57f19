internal import CMicrokernels
internal import Tensors

/// The memory that a plan's runs work in, fixed before they start.
final class AttentionWorkspace {
  /// Keys of a score tile.
  static let tileKeys = Int(SWA_TILE_KEYS)
  /// Floats from one row of scores to the next.
  static let scorePitch = Int(SWA_SCORE_PITCH)
  /// The most query tiles that are worked on together, whatever the shape.
  static let mostTilesTogether = 8
  /// The bytes of queries and outputs of these: half of a second cache of 1 MiB, so that keys, values
  /// and scores lie beside them.
  private static let bytesTogether = 1 << 19

  private let shape: AttentionShape
  /// The most query tiles that are worked on together.
  let tilesTogether: Int
  private var variants: [VariantScratch]
  private var memory: [AlignedBuffer] = []
  /// The partial states that there is room for.
  private(set) var stateCapacity = 0
  let scratches = Section<Scratch>()
  /// Partial states: outputs of `valueDimension` floats, and natural log-sum-exps.
  private(set) var partialOutput: UnsafeMutablePointer<Float>
  private(set) var partialLSE: UnsafeMutablePointer<Float>

  init(shape: AttentionShape, variants: [VariantScratch]) {
    self.shape = shape
    self.variants = variants
    let tile = AttentionPlan.largestTile * 4 * (shape.headDimension + shape.valueDimension)
    tilesTogether = min(max(Self.bytesTogether / tile, 1), Self.mostTilesTogether)
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

  /// Gives every thread other memory for the variant's programs.
  func attach(_ variants: [VariantScratch]) {
    self.variants = variants
    for (i, variant) in variants.enumerated() { scratches.elements[i].variant = variant }
  }

  /// Makes room for partial states, each of one row.
  func reserve(states: Int) {
    guard states > stateCapacity else { return }
    let capacity = max(states, 2 * stateCapacity)
    var size = PlanMemory()
    placeStates(&size, capacity)
    let buffer = AlignedBuffer(byteCount: size.bytes)
    var memory = PlanMemory(buffer.bytes.baseAddress)
    placeStates(&memory, capacity)
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
  }

  private func placeScratches(_ memory: inout PlanMemory) {
    if !memory.isCounting { scratches.removeAll() }
    for variant in variants {
      let scratch = Scratch(&memory, shape, variant, tiles: tilesTogether)
      if !memory.isCounting { scratches.append(scratch) }
    }
  }

  private func placeStates(_ memory: inout PlanMemory, _ states: Int) {
    let output = memory.take(Float.self, states * shape.valueDimension)
    let lse = memory.take(Float.self, states)
    if !memory.isCounting { (partialOutput, partialLSE, stateCapacity) = (output, lse, states) }
  }

  /// The bytes in use: everything where there are bounds, otherwise what runs write.
  var byteCount: Int { memory.reduce(0) { $0 + $1.bytes.count } }
}

/// One thread's working memory.
///
/// - Invariant: Pointers into a buffer of the workspace, disjoint, each on a cache line of its own.
struct Scratch {
  /// The query tiles or heads that are worked on side by side.
  let parts: UnsafeMutablePointer<Part>
  /// Where each row of a tile stands.
  private(set) var places: UnsafeMutablePointer<RowPlace>
  /// The addresses of the query rows of a tile.
  let queryRows: UnsafeMutablePointer<UnsafePointer<Float>?>
  /// Where the rows of a tile go.
  let outputRows: UnsafeMutablePointer<UnsafeMutablePointer<Float>?>
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
  /// Which rows to fetch while those of a tile are read.
  let fetch: UnsafeMutablePointer<swa_fetch>
  /// The absolute positions of the tile's keys, where a page list says them.
  let keyPositions: UnsafeMutablePointer<Int32>
  /// Panels made from rows, or widened.
  private let keyPanels: UnsafeMutablePointer<Float>
  private let valuePanels: UnsafeMutablePointer<Float>
  private let keyPanelFloats: Int
  private let valuePanelFloats: Int
  /// A last panel of values: that of a tile of keys, and that of rows which end before others.
  let clearedValues: UnsafeMutablePointer<Float>
  let ownValues: UnsafeMutablePointer<Float>
  /// Memory of the variant's programs.
  var variant: VariantScratch

  init(
    _ layout: inout PlanMemory, _ shape: AttentionShape, _ variant: VariantScratch, tiles: Int
  ) {
    let rows = AttentionPlan.largestTile
    let keys = AttentionWorkspace.tileKeys
    let padded = shape.headDimension + shape.headDimension % 2
    let blocks = keys / Int(SWA_PANEL_TOKENS)
    outputPitch = (shape.valueDimension + 31) / 32 * 32
    parts = layout.take(Part.self, max(rows, tiles))
    places = layout.take(RowPlace.self, tiles * rows)
    queryRows = layout.take(UnsafePointer<Float>?.self, rows)
    outputRows = layout.take(UnsafeMutablePointer<Float>?.self, rows)
    queries = layout.take(Float.self, tiles * rows * padded)
    scores = layout.take(Float.self, rows * AttentionWorkspace.scorePitch)
    output = layout.take(Float.self, tiles * rows * outputPitch)
    maximum = layout.take(Float.self, tiles * rows)
    sum = layout.take(Float.self, tiles * rows)
    rescale = layout.take(Float.self, rows)
    visible = layout.take(swa_span.self, rows)
    spans = layout.take(swa_span.self, rows)
    panels = layout.take(UnsafeRawPointer?.self, blocks)
    values = layout.take(UnsafeRawPointer?.self, blocks)
    nextPanels = layout.take(UnsafeRawPointer?.self, blocks)
    keyRows = layout.take(UnsafeRawPointer?.self, keys)
    fetch = layout.take(swa_fetch.self, 1)
    keyPositions = layout.take(Int32.self, keys)
    valueRows = layout.take(UnsafeRawPointer?.self, keys)
    nextKeyRows = layout.take(UnsafeRawPointer?.self, keys)
    nextValueRows = layout.take(UnsafeRawPointer?.self, keys)
    keyPanelFloats = padded * Int(SWA_PANEL_TOKENS)
    valuePanelFloats = (shape.valueDimension + 15) / 16 * 16 * Int(SWA_PANEL_TOKENS)
    keyPanels = layout.take(Float.self, blocks * keyPanelFloats)
    valuePanels = layout.take(Float.self, blocks * valuePanelFloats)
    clearedValues = layout.take(Float.self, valuePanelFloats)
    ownValues = layout.take(Float.self, valuePanelFloats)
    self.variant = variant
    if !layout.isCounting {
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
  func head(_ number: Int, rows: Int) -> Scratch { from(row: number * rows) }

  /// The memory as the `number`-th of several query tiles sees it: its rows' places are its own too.
  func tile(_ number: Int) -> Scratch {
    var tile = from(row: number * AttentionPlan.largestTile)
    tile.places += number * AttentionPlan.largestTile
    return tile
  }

  private func from(row: Int) -> Scratch {
    var part = self
    part.queries += row * (keyPanelFloats / Int(SWA_PANEL_TOKENS))
    part.output += row * outputPitch
    part.maximum += row
    part.sum += row
    part.variant.rowValues += row
    part.variant.pointers += row
    part.variant.bits += row
    return part
  }
}
