public import CAttention
internal import Devices
internal import Tensors

// Norms, activations, rotary embedding and segment GEMM of `attention.h`.

/// See `attention.h`.
@c @implementation
public func attention_rms_norm(
  _ device: OpaquePointer!, _ x: UnsafePointer<attention_tensor>!,
  _ residual: UnsafePointer<attention_tensor>!, _ weight: UnsafePointer<attention_tensor>!,
  _ weightOffset: Int32, _ epsilon: Float, _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let x = try TensorArgument(x, "x")
    let target = try TensorArgument(output, "output")
    try target.require(like: x)
    guard (0...1).contains(weightOffset) else {
      throw CallFailure("weight_offset is \(weightOffset); expected 0 or 1")
    }
    let factors = try TensorArgument(weight, "weight").floatList(on: device, scratch)
    let rows = try FloatRows(x, .read, on: device, scratch)
    let result = try FloatRows(target, .write, on: device, scratch)
    if let stream = try TensorArgument.optional(residual, "residual") {
      try stream.require(like: x)
      let sum = try FloatRows(stream, .update, on: device, scratch)
      if weightOffset == 0 {
        try device.fusedAddRMSNorm(
          rows.view, residual: sum.view, weight: factors, epsilon: epsilon, into: result.view)
      } else {
        try device.gemmaFusedAddRMSNorm(
          rows.view, residual: sum.view, weight: factors, epsilon: epsilon, into: result.view)
      }
      sum.store()
    } else if weightOffset == 0 {
      try device.rmsNorm(rows.view, weight: factors, epsilon: epsilon, into: result.view)
    } else {
      try device.gemmaRMSNorm(rows.view, weight: factors, epsilon: epsilon, into: result.view)
    }
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_layer_norm(
  _ device: OpaquePointer!, _ x: UnsafePointer<attention_tensor>!,
  _ weight: UnsafePointer<attention_tensor>!, _ bias: UnsafePointer<attention_tensor>!,
  _ epsilon: Float, _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let x = try TensorArgument(x, "x")
    let target = try TensorArgument(output, "output")
    try target.require(like: x)
    let factors = try TensorArgument(weight, "weight").floatList(on: device, scratch)
    let terms = try TensorArgument.optional(bias, "bias")?.floatList(on: device, scratch)
    let rows = try FloatRows(x, .read, on: device, scratch)
    let result = try FloatRows(target, .write, on: device, scratch)
    try device.layerNorm(
      rows.view, weight: factors, bias: terms, epsilon: epsilon, into: result.view)
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_gated_activation(
  _ device: OpaquePointer!, _ function: Int32, _ x: UnsafePointer<attention_tensor>!,
  _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let x = try TensorArgument(x, "x")
    let target = try TensorArgument(output, "output")
    let d = target.columns
    guard x.rank > 0, target.rank == x.rank, x.columns == 2 * d, target.rows == x.rows,
      target.shape.dropLast() == x.shape.dropLast()
    else {
      throw CallFailure(
        "output has shape \(target.shape); expected \(x.shape), its last axis halved")
    }
    let rows = try FloatRows(x, .read, on: device, scratch)
    let result = try FloatRows(target, .write, on: device, scratch)
    let (gate, up) = (rows.view.columns(0..<d), rows.view.columns(d..<2 * d))
    switch Int(function) {
    case Int(ATTENTION_SILU): try device.siluAndMultiply(gate, up, into: result.view)
    case Int(ATTENTION_GELU): try device.geluAndMultiply(gate, up, into: result.view)
    case Int(ATTENTION_GELU_TANH): try device.geluTanhAndMultiply(gate, up, into: result.view)
    default: throw CallFailure("function \(function) is unknown")
    }
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_rope(
  _ device: OpaquePointer!, _ x: UnsafePointer<attention_tensor>!,
  _ positions: UnsafePointer<attention_tensor>!, _ cache: UnsafePointer<attention_tensor>!,
  _ options: UnsafePointer<attention_rope_options>!, _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    guard let options = options?.pointee else { throw CallFailure("options is NULL") }
    try checkSize(options.size, attention_rope_options.self, "options")
    let x = try TensorArgument(x, "x")
    try x.require(nil, nil, nil)
    let target = try TensorArgument(output, "output")
    try target.require(like: x)
    let places = try TensorArgument(positions, "positions")
    try places.require(x.length(0))
    let numbers = try places.integers()
    let isScaled = options.old_context_length > 0
    let embedding = try RotaryEmbedding(
      pairing: options.interleaved != 0 ? .adjacent : .halves,
      dimension: Int(options.rotary_dimension), base: cache == nil ? options.theta : 1e4,
      scaling: cache != nil
        ? .none
        : isScaled
          ? .llama3(
            factor: options.scale, lowFrequencyFactor: options.low_frequency_factor,
            highFrequencyFactor: options.high_frequency_factor,
            originalContext: Int(options.old_context_length)) : .linear(factor: options.scale))
    // A token's angles are computed once, however many tokens share its position.
    var entries: [Int: Int] = [:]
    var distinct: [Int] = []
    let tokens = numbers.map { position in
      if let entry = entries[position] { return entry }
      entries[position] = distinct.count
      distinct.append(position)
      return distinct.count - 1
    }
    var table = RotaryTable(embedding)
    if let cache = try TensorArgument.optional(cache, "cache") {
      try cache.require(nil, embedding.dimension)
      let rows = try FloatRows(cache, .read, on: device, scratch)
      let gathered = MatrixView(
        try scratch.floats(distinct.count * embedding.dimension), rows: distinct.count,
        columns: embedding.dimension)
      for (entry, position) in distinct.enumerated() {
        guard (0..<cache.length(0)).contains(position) else {
          throw CallFailure("positions names \(position); cache has \(cache.length(0)) rows")
        }
        gathered.row(entry).update(from: rows.view.row(position), count: embedding.dimension)
      }
      try table.fill(cosSinCache: gathered)
    } else {
      table.fill(positions: distinct)
    }
    let rows = try FloatRows(x, trailing: 2, .read, on: device, scratch)
    let result = try FloatRows(target, trailing: 2, .write, on: device, scratch)
    if x.count > 0 {
      try device.rotate(
        rows.view, heads: x.length(1), by: table, entries: tokens, into: result.view)
    }
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_segment_gemm(
  _ device: OpaquePointer!, _ x: UnsafePointer<attention_tensor>!,
  _ weights: UnsafePointer<attention_tensor>!, _ offsets: UnsafePointer<attention_tensor>!,
  _ indices: UnsafePointer<attention_tensor>!, _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let x = try TensorArgument(x, "x")
    try x.require(nil, nil)
    let matrices = try TensorArgument(weights, "weights")
    try matrices.require(nil, nil, x.length(1))
    let target = try TensorArgument(output, "output")
    try target.require(x.length(0), matrices.length(1))
    let segments = try RaggedIndex(offsets: TensorArgument(offsets, "offsets").integers())
    let count = matrices.length(0)
    let chosen =
      try TensorArgument.optional(indices, "indices")?.integers() ?? Array(0..<segments.count)
    let rows = try FloatRows(x, .read, on: device, scratch)
    let result = try FloatRows(target, .write, on: device, scratch)
    let floats = try FloatRows(matrices, .read, on: device, scratch)
    guard x.count > 0, matrices.count > 0 else { return }
    // Rows of a matrix are adjacent unless the caller's are not.
    let (outputs, inputs) = (matrices.length(1), x.length(1))
    let packed = try (0..<count).map { number in
      guard floats.view.stride == inputs else {
        throw CallFailure("weights: rows must be adjacent")
      }
      return try LinearWeights(
        .float32, rows: outputs, columns: inputs,
        bytes: UnsafeRawBufferPointer(
          start: floats.view.row(number * outputs), count: outputs * inputs * 4), device: device)
    }
    try device.segmentGEMM(
      rows.view, segments: segments, weights: packed, weightIndices: chosen, into: result.view)
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_pack_bits(
  _ x: UnsafePointer<attention_tensor>!, _ offsets: UnsafePointer<attention_tensor>!,
  _ byteOffsets: UnsafePointer<attention_tensor>!, _ bigEndian: Int32,
  _ output: UnsafePointer<attention_tensor>!
) -> attention_status {
  call {
    let bits = try TensorArgument(x, "x").booleans()
    let target = try TensorArgument(output, "output")
    try target.require(.uint8)
    let starts =
      try TensorArgument.optional(offsets, "offsets")?.integers() ?? [0, bits.count]
    let byteStarts = try TensorArgument.optional(byteOffsets, "byte_offsets")?.integers() ?? [0]
    let segments = try RaggedIndex(offsets: starts)
    guard segments.total <= bits.count else {
      throw CallFailure("offsets ends at \(segments.total); x has \(bits.count) elements")
    }
    guard byteStarts.count >= segments.count else {
      throw CallFailure("byte_offsets has \(byteStarts.count) elements; expected \(segments.count)")
    }
    for i in 0..<segments.count {
      let bytes = (segments[i].count + 7) / 8
      guard byteStarts[i] >= 0, byteStarts[i] <= target.count - bytes else {
        throw CallFailure(
          "output has \(target.count) bytes; segment \(i) does not fit at \(byteStarts[i])")
      }
      for byte in 0..<bytes {
        var value: UInt8 = 0
        for bit in 0..<min(8, segments[i].count - byte * 8)
        where bits[segments[i].lowerBound + byte * 8 + bit] {
          value |= bigEndian != 0 ? 0x80 >> UInt8(bit) : 1 << UInt8(bit)
        }
        target.address(byteStarts[i] + byte).storeBytes(of: value, as: UInt8.self)
      }
    }
  }
}
