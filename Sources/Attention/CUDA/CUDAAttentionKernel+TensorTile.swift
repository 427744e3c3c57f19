internal import Tensors

extension CUDAAttentionKernel {
  /// How a block's warps share the work, and the memory that takes.
  struct TensorTile: Hashable {
    var rowWarps: Int
    var valueWarps: Int
    /// Groups of rowWarps × valueWarps warps, which take turns with the tiles of keys; each fetches its
    /// own, and waits for no other.
    var pipelines: Int
    /// Keys of a tile.
    var keys: Int
    /// Tiles of a pipeline in shared memory: one is multiplied, the others are on their way.
    var stages: Int
    /// Rounds in which outputs go through shared memory: more than one where not all rows fit.
    var rounds: Int
    var memory: Memory

    /// Warps of a pipeline.
    var warps: Int { rowWarps * valueWarps }
    var threads: Int { 32 * warps * pipelines }
    /// Tiles whose keys' places are known.
    var ring: Int { stages + 1 }

    /// Where things lie in shared memory, in bytes.
    struct Memory: Hashable {
      /// Of a tile's keys in a stage, and of its keys and values.
      var stageKeys: Int
      var stage: Int
      /// Where a pipeline's converted keys and values begin behind its stages.
      var convertedKeys: Int
      var convertedValues: Int
      /// Of the queries, before the pipelines, and of a pipeline.
      var queries: Int
      var pipeline: Int
      /// Where the addresses of keys, their positions and the rows begin, and all.
      var sources: Int
      var positions: Int
      var rows: Int
      var all: Int
    }
  }

  /// Elements from one row in shared memory to the next: an odd number of 16-byte chunks, so that
  /// neighbouring rows' equal chunks lie in different banks.
  func paddedPitch(_ rows: StoredRows) -> Int { rows.columns + 8 }

  /// Value columns in whole pairs of the products' columns for each warp.
  func valueColumns(_ tile: TensorTile) -> Int {
    (shape.valueDimension + 16 * tile.valueWarps - 1) / (16 * tile.valueWarps) * 16
  }

  /// Many warps with three to five tiles each where those fit, then two, then fewer warps.
  ///
  /// What is on its way must cover what memory delivers within its latency, 36 KiB for each of an H200's
  /// multiprocessors; and a scheduler with two warps multiplies with one while the other waits.
  var tensorTile: TensorTile? {
    guard case .tensor(let rows) = tile else { return nil }
    // 128 columns of output are 64 registers of a thread.
    let valueWarps = shape.valueDimension > 256 ? 4 : 1
    let warps = rows / 16 * valueWarps
    // Few rows have few products to wait for; long values leave few registers for scores.
    let most = warps == 1 ? 16 : warps == 2 || shape.valueDimension > 192 ? 32 : 64
    let choices = [
      ([5, 4, 3], [8, 4]), ([2], [8, 4]), ([5, 4, 3, 2], [2, 1]), ([1], [4, 2, 1]),
    ]
    for (stages, blocks) in choices {
      for block in blocks where block >= warps || block == blocks.last {
        for keys in [64, 32, 16] where keys <= most {
          for stages in stages {
            let tile = tensorTile(
              rows, valueWarps, pipelines: max(block / warps, 1), keys: keys, stages: stages)
            if tile.memory.all <= sharedLimit { return tile }
          }
        }
      }
    }
    return nil
  }

  func smallestTensorTile(_ rows: Int) -> Int {
    tensorTile(rows, shape.valueDimension > 256 ? 4 : 1, pipelines: 1, keys: 16, stages: 1)
      .memory.all
  }

  private func tensorTile(
    _ rows: Int, _ valueWarps: Int, pipelines: Int, keys: Int, stages: Int
  ) -> TensorTile {
    func staged(_ rows: StoredRows) -> Int {
      switch rows.way {
      case .copied: paddedPitch(rows) * 2
      case .staged: rows.pieces * 16
      case .read: 0
      }
    }
    func converted(_ rows: StoredRows) -> Int { rows.way == .copied ? 0 : paddedPitch(rows) * 2 }
    let stageKeys = keys * staged(keyRows)
    let stage = stageKeys + keys * staged(valueRows)
    let convertedValues = stages * stage + keys * converted(keyRows)
    let pipeline = convertedValues + keys * converted(valueRows)
    let queries = rows * paddedPitch(keyRows) * 2
    let (ring, places) = (pipelines * (stages + 1) * keys, rows * 40)
    // Outputs and their sums take the place of queries, keys and values.
    func join(_ rounds: Int) -> Int {
      pipelines * rows / rounds * (shape.valueDimension + 2) * 4
    }
    var rounds = 1
    while rows / rounds > 16, join(rounds) + ring * 20 + places + 16 > sharedLimit { rounds *= 2 }
    let sources = max(queries + pipelines * pipeline, join(rounds))
    let positions = sources + ring * 16
    return TensorTile(
      rowWarps: rows / 16, valueWarps: valueWarps, pipelines: pipelines, keys: keys, stages: stages,
      rounds: rounds,
      memory: .init(
        stageKeys: stageKeys, stage: stage, convertedKeys: stages * stage,
        convertedValues: convertedValues, queries: queries, pipeline: pipeline, sources: sources,
        positions: positions, rows: positions + ring * 4,
        all: (positions + ring * 4 + places + 15) / 16 * 16))
  }
}
