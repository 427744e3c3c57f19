public import CAttention
internal import Devices
internal import Tensors

// Softmax, sampling and speculation of `attention.h`.

/// See `attention.h`.
@c @implementation
public func attention_softmax(
  _ device: OpaquePointer!, _ logits: UnsafePointer<attention_tensor>!,
  _ temperatures: UnsafePointer<attention_tensor>!, _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let logits = try TensorArgument(logits, "logits")
    let target = try TensorArgument(output, "output")
    try target.require(like: logits)
    let values =
      try TensorArgument.optional(temperatures, "temperatures")?.floatList(on: device, scratch)
      ?? [1]
    let rows = try FloatRows(logits, .read, on: device, scratch)
    let result = try FloatRows(target, .write, on: device, scratch)
    for row in 0..<result.view.rows where rows.view.base != result.view.base {
      result.view.row(row).update(from: rows.view.row(row), count: rows.view.columns)
    }
    try device.softmax(result.view, temperatures: values)
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_sample(
  _ device: OpaquePointer!, _ scores: UnsafePointer<attention_tensor>!,
  _ options: UnsafePointer<attention_sampling_options>!,
  _ samples: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    guard let options = options?.pointee else { throw CallFailure("options is NULL") }
    try checkSize(options.size, attention_sampling_options.self, "options")
    let scores = try TensorArgument(scores, "scores")
    try scores.require(nil, nil)
    let target = try TensorArgument(samples, "samples")
    let rows = try FloatRows(scores, .read, on: device, scratch).view
    let chosen = try TensorArgument.optional(options.rows, "rows")?.integers()
    let count = chosen?.count ?? rows.rows
    try target.require(count)
    let filters = try SamplingFilter.list(options, count, on: device, scratch)
    let random = (0..<count).map {
      CounterRandom.Point(seed: options.seed, counter: options.offset &+ UInt64($0))
    }
    let isLogits = options.logits != 0
    if let chosen {
      if let row = chosen.first(where: { !(0..<rows.rows).contains($0) }) {
        throw CallFailure("rows names row \(row); scores has \(rows.rows)")
      }
      let tokens = try RepeatedSampler(device, rows, isLogits: isLogits, scratch)
        .tokens(rows: chosen, filters, random)
      return try target.store(tokens)
    }
    let tokens =
      isLogits
      ? try device.sampleFromLogits(rows, filters: filters, random: random)
      : try device.sampleFromProbabilities(rows, filters: filters, random: random)
    try target.store(tokens.map { $0 ?? -1 })
  }
}

extension SamplingFilter {
  /// The filter of every sample, or one for all.
  fileprivate static func list(
    _ options: attention_sampling_options, _ count: Int, on device: CPUDevice, _ scratch: Scratch
  ) throws -> [SamplingFilter] {
    let topK = try TensorArgument.optional(options.top_k, "top_k")?.integers() ?? []
    let topP =
      try TensorArgument.optional(options.top_p, "top_p")?.floatList(on: device, scratch) ?? []
    let minP =
      try TensorArgument.optional(options.min_p, "min_p")?.floatList(on: device, scratch) ?? []
    let counts = [("top_k", topK.count), ("top_p", topP.count), ("min_p", minP.count)]
    for (name, found) in counts where found > 1 && found != count {
      throw CallFailure("\(name) has \(found) elements; expected 1 or \(count)")
    }
    func element<Value>(_ values: [Value], _ row: Int, _ other: Value) -> Value {
      values.isEmpty ? other : values[values.count == 1 ? 0 : row]
    }
    return (0..<(counts.contains { $0.1 > 1 } ? count : 1)).map { row in
      SamplingFilter(
        topK: element(topK, row, 0), topP: element(topP, row, 1), minP: element(minP, row, 0),
        order: options.joint != 0 ? .joint : .topKFirst)
    }
  }
}

/// See `attention.h`.
@c @implementation
public func attention_filter(
  _ device: OpaquePointer!, _ kind: Int32, _ x: UnsafePointer<attention_tensor>!,
  _ limits: UnsafePointer<attention_tensor>!, _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let x = try TensorArgument(x, "x")
    try x.require(nil, nil)
    let target = try TensorArgument(output, "output")
    try target.require(like: x)
    let limits = try TensorArgument(limits, "limits")
    let rows = try FloatRows(x, .read, on: device, scratch)
    let result = try FloatRows(target, .write, on: device, scratch)
    switch Int(kind) {
    case Int(ATTENTION_TOP_K_PROBABILITIES):
      try device.topKRenormalize(rows.view, topK: limits.integers(), into: result.view)
    case Int(ATTENTION_TOP_P_PROBABILITIES):
      try device.topPRenormalize(
        rows.view, topP: limits.floatList(on: device, scratch), into: result.view)
    case Int(ATTENTION_TOP_K_LOGITS):
      try device.topKMaskLogits(rows.view, topK: limits.integers(), into: result.view)
    default: throw CallFailure("kind \(kind) is unknown")
    }
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_chain_speculative(
  _ device: OpaquePointer!, _ draft: UnsafePointer<attention_tensor>!,
  _ tokens: UnsafePointer<attention_tensor>!, _ target: UnsafePointer<attention_tensor>!,
  _ seed: UInt64, _ offset: UInt64, _ output: UnsafePointer<attention_tensor>!,
  _ accepted: UnsafePointer<attention_tensor>!, _ emitted: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let draft = try TensorArgument(draft, "draft")
    try draft.require(nil, nil, nil)
    let (requests, n, vocabulary) = (draft.length(0), draft.length(1), draft.length(2))
    let tokens = try TensorArgument(tokens, "tokens")
    try tokens.require(requests, n)
    let target = try TensorArgument(target, "target")
    try target.require(requests, n + 1, vocabulary)
    let output = try TensorArgument(output, "output")
    try output.require(requests, n + 1)
    let counts = try (TensorArgument(accepted, "accepted"), TensorArgument(emitted, "emitted"))
    try counts.0.require(requests)
    try counts.1.require(requests)
    let proposed = try FloatRows(draft, .read, on: device, scratch).view
    let wanted = try FloatRows(target, .read, on: device, scratch).view
    let drafted = try tokens.integers()
    let random = (0..<requests).map {
      CounterRandom.Point(seed: seed, counter: offset &+ UInt64($0))
    }
    let results = try device.chainSpeculativeSample(
      (0..<requests).map { Array(drafted[$0 * n..<($0 + 1) * n]) }, draft: proposed,
      target: wanted, random: random)
    var emittedTokens: [Int] = []
    var (acceptedCounts, emittedCounts) = (try counts.0.integers(), try counts.1.integers())
    for (request, result) in results.enumerated() {
      let line = result.tokens.prefix(n + 1)
      emittedTokens += line + repeatElement(-1, count: n + 1 - line.count)
      emittedCounts[request] &+= max(line.count - 1, 0)
      // Each token alone, with the numbers that the chain used for it.
      for i in 0..<n {
        let token = drafted[request * n + i]
        let (p, q) = (
          proposed.row(request * n + i)[token], wanted.row(request * (n + 1) + i)[token]
        )
        if Float(random[request].uniform(draw: UInt32(truncatingIfNeeded: i))) * p < q {
          acceptedCounts[request] &+= 1
        }
      }
    }
    try output.store(emittedTokens)
    try counts.0.store(acceptedCounts)
    try counts.1.store(emittedCounts)
  }
}
