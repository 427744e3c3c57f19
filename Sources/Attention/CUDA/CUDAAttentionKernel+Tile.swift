internal import Devices
internal import Tensors

extension CUDAAttentionKernel.Tile {
  /// The first of the tiles that fit a request's packed rows for which there is a kernel.
  static func suited(
    rows: Int, pageSize: Int, shape: AttentionShape, variant: AttentionVariant,
    queryType: ElementType, storedType: ElementType, architecture: CUDAArchitecture
  ) throws(CUDAAttention.Failure) -> Self {
    var tiles: [Self] = []
    if architecture == .sm90a && rows > 32 {
      for height in [128, 64] where rows >= height || height == 64 {
        for usesTMA in pageSize % CUDAAttentionKernel.boxTokens == 0
          ? [true, false] : [false]
        {
          tiles.append(.warpGroups(rows: height, usesTMA: usesTMA))
        }
      }
    }
    // Fewer than four rows leave most of a product of sixteen empty.
    for height in [128, 64, 32, 16] where rows > height / 2 || height == 16 && rows >= 4 {
      tiles.append(.tensor(rows: height))
    }
    tiles.append(.cores)
    var reason: CUDAAttentionKernel.Unsupported?
    for tile in tiles {
      do throws(CUDAAttentionKernel.Unsupported) {
        _ = try CUDAAttentionKernel(
          shape: shape, variant: variant, queryType: queryType, storedType: storedType, tile: tile,
          architecture: architecture)
        return tile
      } catch { reason = reason ?? error }
    }
    throw .kernel(reason ?? .architecture(architecture))
  }
}

extension CUDAAttention.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .plan(let failure): failure.description
    case .kernel(let reason): reason.description
    case .device(let failure): failure.description
    case .workers(let count, let most):
      "CUDA attention: \(count) blocks; the device runs \(most) at a time"
    case .pageSize(let size):
      "CUDA attention: pages of \(size) tokens; TMA reads multiples of "
        + "\(CUDAAttentionKernel.boxTokens)"
    case .data(let bytes, let limit):
      "CUDA attention: tensors and masks of \(bytes) bytes; the bound is \(limit)"
    case .otherTensors:
      "CUDA attention: other tensors or masks have data than in the first batch"
    case .noBatch: "CUDA attention: run before update"
    case .columns(let name, let expected, let found):
      "CUDA attention: \(name) has \(found) columns; expected \(expected)"
    }
  }
}
