internal import Tensors

extension CUDAAttentionKernel {
  /// How a block's warps share the work, and the memory that takes.
  struct TensorTile: Hashable {
    var rowWarps: Int
    var keyWarps: Int
    var valueWarps: Int
    /// Keys of a tile in shared memory, and how many tiles there are.
    var keys: Int
    var stages: Int
    var bytes: Int

    var threads: Int { 32 * rowWarps * keyWarps * valueWarps }
  }

  /// Elements from one row in shared memory to the next: whole rows of eight 16-byte chunks.
  func pitch(_ dimension: Int) -> Int { (dimension + 63) / 64 * 64 }

  var keyPitch: Int { pitch(shape.headDimension) }
  var valuePitch: Int { pitch(shape.valueDimension) }
  /// Value columns in whole pairs of the products' columns for each warp.
  func valueColumns(_ tile: TensorTile) -> Int {
    (shape.valueDimension + 16 * tile.valueWarps - 1) / (16 * tile.valueWarps) * 16
  }

  /// The largest tile of keys that fits shared memory, two of them where they fit.
  var tensorTile: TensorTile? {
    guard case .tensor(let rows) = tile else { return nil }
    for stages in [2, 1] {
      // Long values leave few registers for scores.
      for keys in [64, 32, 16] where keys < 64 || shape.valueDimension <= 192 {
        let tile = tensorTile(rows, keys: keys, stages: stages)
        if tile.bytes <= sharedLimit { return tile }
      }
    }
    return nil
  }

  func smallestTensorTile(_ rows: Int) -> Int { tensorTile(rows, keys: 16, stages: 1).bytes }

  private func tensorTile(_ rows: Int, keys: Int, stages: Int) -> TensorTile {
    let rowWarps = max(rows / 16, 1)
    // 128 columns are 64 registers of output a thread.
    let valueWarps = shape.valueDimension > 256 ? 4 : 1
    let keyWarps = valueWarps > 1 ? 1 : min(max(4 / rowWarps, 1), keys / 16)
    let copies = stages * keys * ((keyPitch + valuePitch) * 2)
    let loop = rows * keyPitch * 2 + copies
    let join = keyWarps * 16 * (shape.valueDimension + 2) * 4
    let bytes = (max(loop, join) + 15) / 16 * 16 + stages * keys * 4 + rows * 40
    return TensorTile(
      rowWarps: rowWarps, keyWarps: keyWarps, valueWarps: valueWarps, keys: keys, stages: stages,
      bytes: (bytes + 15) / 16 * 16)
  }
}
