import Attention
import Devices
import Tensors

extension KernelCase {
  /// Masks, logits, sums, sinks and functors on every vector.
  static func variants(
    _ shape: AttentionShape, _ tile: CUDAAttentionKernel.Tile, _ lengths: [(query: Int, kv: Int)]
  ) -> [KernelCase] {
    let heads = shape.queryHeads
    let vectors = AttentionVariant("all functors") { v in
      let gain = v.perDimension("gain", (0..<shape.headDimension).map { 1 + Float($0 % 5) / 8 })
      v.query { x, at in x.own * cos(at.query / 9) - x.neighbour * sin(at.query / 9) }
      v.query { x, _ in x.own * gain }
      v.key { x, at in x.own + 0.25 * x.opposite * cos(at.kv / 7) }
      v.value { x, at in x.own + 0.125 * x.neighbour }
      v.output { x, at in x.own * 0.5 + 0.25 * x.opposite }
      v.output { x, at in x.own + at.dimension / 64 }
      v.logits { s, _ in s + 0.125 }
      v.mask { at in at.kv <= at.query }
    }
    let list: [(String, AttentionVariant)] = [
      ("full", .full), ("gemma", .gemma(layer: 0, window: 51)),
      ("streaming", .streaming(sinks: 4, window: 60)), ("rope", .causal.combined(with: .rope())),
      ("soft-cap", .causal.combined(with: .softCap(2))),
      ("alibi", .causal.combined(with: .alibi(heads: heads))),
      ("sink", .causal.combined(with: .sink(logits: (0..<heads).map { Float($0) - 1 }))),
      ("sigmoid", .causal.combined(with: .sigmoid(bias: -2))),
      ("custom-mask", .customMask), ("tree", .treeMask),
      ("document", .causal.combined(with: .documentMask)),
      ("scales", .causal.combined(with: .cacheScales)), ("functors", vectors),
    ]
    var (suffix, pageSize, architecture) = ("", 3, CUDAArchitecture.sm80)
    var movesRows = false
    switch tile {
    case .cores: break
    case .tensor(let rows): suffix = "-t\(rows)"
    case .warpGroups(let rows, let usesTMA):
      (suffix, architecture) = ("-w\(rows)\(usesTMA ? "-tma" : "")", .sm90a)
      (movesRows, pageSize) = (usesTMA, usesTMA ? 16 : 3)
    }
    return list.compactMap { name, variant in
      // TMA moves keys and values as they are.
      let turns = variant.functors.contains { $0.kind == .key || $0.kind == .value }
      if movesRows && turns { return nil }
      return KernelCase(
        name: name + suffix, shape: shape, variant: variant,
        tensors: tensors(name, kvHeads: shape.kvHeads), lengths: lengths, pageSize: pageSize,
        queryType: tile == .cores ? .float32 : .bfloat16, tile: tile, architecture: architecture)
    }
  }

  /// The data of a variant, by its name here.
  private static func tensors(_ name: String, kvHeads: Int) -> (
    (AttentionBatch) -> VariantTensors
  )? {
    func tokens(_ batch: AttentionBatch) -> Int {
      (0..<batch.requestCount).reduce(0) { $0 + Int(batch.pages.kvLengths[$1]) }
    }
    switch name {
    case "custom-mask", "tree":
      return { batch in
        var tensors = VariantTensors()
        tensors[mask: name] = VariantTensors.packing(batch) { r, i, kv in
          (r * 7 + i * 5 + kv * 3) % 4 != 0 && r != 3
        }
        return tensors
      }
    case "document":
      return { batch in
        var tensors = VariantTensors()
        tensors["document"] = (0..<tokens(batch)).map { Float($0 / 60) }
        return tensors
      }
    case "scales":
      return { batch in
        var tensors = VariantTensors()
        let count = tokens(batch) * kvHeads
        tensors["key-scale"] = (0..<count).map { 0.5 + Float($0 % 7) / 8 }
        tensors["value-scale"] = (0..<count).map { 2 - Float($0 % 5) / 4 }
        return tensors
      }
    default: return nil
    }
  }
}
