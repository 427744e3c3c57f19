public import Devices
public import Tensors

/// The attention kernel for one shape, variant and form of storage, as text for NVRTC.
///
/// The text reads as the paper's pseudocode: a persistent block takes its work items from the plan
/// (worker = block), places the rows of the query tile, streams the chunk's keys through an online
/// softmax, and writes the output or leaves a partial state; when all blocks have, the states are
/// merged in the plan's order in the same launch. Every function of the text is made by a Swift
/// function of its name. The plan is the CPU's.
public struct CUDAAttentionKernel: Sendable, Hashable {
  /// The layer's sizes.
  public let shape: AttentionShape
  /// The kind of attention.
  public let variant: AttentionVariant
  /// Of queries and outputs: `.float32`, `.bfloat16` or `.float16`.
  public let queryType: ElementType
  /// Of keys and values.
  public let storedType: ElementType
  /// Which engine multiplies, and with how many rows at a time.
  public let tile: Tile
  /// What the text is compiled for.
  public let architecture: CUDAArchitecture
  /// The nullable tensors and masks that have data.
  package let bound: Set<Expression.Nullable>

  /// The rows that a block works on at a time.
  public enum Tile: Sendable, Hashable {
    /// T_q = 1: CUDA cores, each key read once for up to eight rows of its group.
    case cores
    /// Tensor cores by `mma.sync`, 16, 32, 64 or 128 rows.
    case tensor(rows: Int)
    /// Warp groups of sm_90a by `wgmma`, 64 or 128 rows. Keys and values come by TMA, for which
    /// pages and all cuts are multiples of 16 tokens, or row by row.
    case warpGroups(rows: Int, usesTMA: Bool)
  }

  /// Why there is no such kernel.
  public enum Unsupported: Error, Hashable, CustomStringConvertible {
    /// The element types do not fit the engine.
    case types(query: ElementType, stored: ElementType)
    /// The tile has no such number of rows, or needs more shared memory than the device has.
    case tile(rows: Int, bytes: Int, limit: Int)
    /// The device has no such instructions.
    case architecture(CUDAArchitecture)
    /// TMA moves stored elements as they are.
    case boxes
    /// A head is too large for registers.
    case dimension(Int)

    /// What was asked for, and what there is.
    public var description: String {
      switch self {
      case .types(let query, let stored):
        "CUDA attention: no kernel for queries in \(query.rawValue) and keys in \(stored.rawValue)"
      case .tile(let rows, let bytes, let limit):
        "CUDA attention: a tile of \(rows) rows needs \(bytes) bytes of shared memory, "
          + "the device has \(limit)"
      case .architecture(let architecture):
        "CUDA attention: \(architecture.rawValue) has no warp group products"
      case .boxes:
        "CUDA attention: keys or values go through a functor or a conversion and cannot come by TMA"
      case .dimension(let size): "CUDA attention: no kernel for heads of \(size) elements"
      }
    }
  }

  /// A kernel for a variant whose nullable tensors have no data.
  public init(
    shape: AttentionShape, variant: AttentionVariant, queryType: ElementType = .bfloat16,
    storedType: ElementType = .bfloat16, tile: Tile, architecture: CUDAArchitecture
  ) throws(Unsupported) {
    try self.init(
      shape: shape, variant: variant, queryType: queryType, storedType: storedType, tile: tile,
      architecture: architecture, bound: [])
  }

  package init(
    shape: AttentionShape, variant: AttentionVariant, queryType: ElementType,
    storedType: ElementType, tile: Tile, architecture: CUDAArchitecture,
    bound: Set<Expression.Nullable>
  ) throws(Unsupported) {
    self.shape = shape
    self.variant = variant
    self.queryType = queryType
    self.storedType = storedType
    self.tile = tile
    self.architecture = architecture
    self.bound = bound
    let stored: [ElementType] = [
      .float32, .bfloat16, .float16, .float8E4M3, .float8E5M2, .int8,
    ]
    guard [.float32, .bfloat16, .float16].contains(queryType), stored.contains(storedType) else {
      throw .types(query: queryType, stored: storedType)
    }
    guard max(shape.headDimension, shape.valueDimension) <= 576 else {
      throw .dimension(max(shape.headDimension, shape.valueDimension))
    }
    if case .warpGroups(let rows, let usesTMA) = tile {
      guard architecture == .sm90a else { throw .architecture(architecture) }
      guard storedType != .float32, queryType != .float32 else {
        throw .types(query: queryType, stored: storedType)
      }
      // Of longer values, the outputs of two warp groups are more than registers hold.
      guard shape.valueDimension <= (rows > 64 ? 128 : 256) else {
        throw .dimension(shape.valueDimension)
      }
      guard [64, 128].contains(rows), hopperTile != nil else {
        throw .tile(rows: rows, bytes: hopperTile(rows, keys: 32).bytes, limit: sharedLimit)
      }
      let areBoxes =
        copies(.key, shape.headDimension) && copies(.value, shape.valueDimension)
      if usesTMA && !areBoxes { throw .boxes }
    }
    if case .tensor(let rows) = tile {
      guard storedType != .float32, queryType != .float32 else {
        throw .types(query: queryType, stored: storedType)
      }
      // Warps that share long values leave each other few registers.
      guard shape.valueDimension <= 256 || rows <= 32 else {
        throw .dimension(shape.valueDimension)
      }
      guard [16, 32, 64, 128].contains(rows), tensorTile != nil else {
        throw .tile(rows: rows, bytes: smallestTensorTile(rows), limit: sharedLimit)
      }
    }
  }

  /// The kernel's text and how to launch it: a block for each of the plan's workers.
  ///
  /// All blocks must be resident at once, since they wait for each other before they merge.
  public var source: CUDASource {
    let (body, threads, bytes): ([String], Int, Int) =
      switch tile {
      case .cores: (coreFunctions, coreThreads, coreBytes)
      case .tensor: (tensorFunctions, tensorTile?.threads ?? 0, tensorTile?.memory.all ?? 0)
      case .warpGroups: (hopperFunctions, hopperTile?.threads ?? 0, hopperTile?.bytes ?? 0)
      }
    let head = [prelude, types, CUDAAttentionArguments.declaration, places]
    let parts =
      head + functors + rowFunctions + body + [
        hopperTile.map(hopperEntry) ?? entry(threads: threads)
      ]
    return CUDASource(
      name: "attention-\(variant.name)",
      text: CUDAText.rolled(parts.joined(separator: "\n\n") + "\n"),
      architecture: architecture,
      entryPoints: ["attention"], dynamicSharedBytes: bytes, threads: threads)
  }

  /// The kernel: a persistent block's work, then the merge.
  private func entry(threads: Int) -> String {
    """
    extern "C" __global__ void __launch_bounds__(\(threads), 1) attention(
        const __grid_constant__ Arguments a) {
      SHARED_MEMORY(memory);
      for (int i = a.workerOffsets[blockIdx.x]; i < a.workerOffsets[blockIdx.x + 1]; ++i) {
        const WorkItem item = a.items[i];
        const QueryTile tile = a.tiles[item.tile];
        for (int head = item.firstHead; head < item.headEnd; ++head)
          for (int first = 0; first < tile.rowCount; first += \(rowsPerPass))
            attend(a, item, tile, head, first, memory);
      }
      merge(a, memory);
    }
    """
  }

  /// The rows that a block works on at a time.
  package var rowsPerPass: Int {
    switch tile {
    case .cores: coreRows
    case .tensor(let rows), .warpGroups(let rows, _): rows
    }
  }

  /// The most shared memory that a block may ask for.
  var sharedLimit: Int {
    switch architecture {
    case .sm86, .sm89: 99 << 10
    case .sm80: 163 << 10
    default: 227 << 10
    }
  }
}
