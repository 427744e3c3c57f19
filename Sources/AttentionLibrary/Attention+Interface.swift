public import CAttention
internal import Attention
internal import Devices
internal import Tensors

// Devices, variants, plans and merges of `attention.h`.

/// See `attention.h`.
@c @implementation
public func attention_device_create(
  _ threads: Int32, _ device: UnsafeMutablePointer<OpaquePointer?>!
) -> attention_status {
  makeDevice(threads, device, usesOpenMP: false)
}

/// See `attention.h`.
@c @implementation
public func attention_device_create_on_openmp(
  _ threads: Int32, _ device: UnsafeMutablePointer<OpaquePointer?>!
) -> attention_status {
  makeDevice(threads, device, usesOpenMP: true)
}

private func makeDevice(
  _ threads: Int32, _ device: UnsafeMutablePointer<OpaquePointer?>?, usesOpenMP: Bool
) -> attention_status {
  call {
    guard let device else { throw CallFailure("device is NULL") }
    guard threads >= 0 else { throw CallFailure("threads is \(threads); expected at least 0") }
    device.pointee = handle(
      try CPUDevice(threads: threads == 0 ? nil : Int(threads), usesOpenMP: usesOpenMP))
  }
}

/// See `attention.h`.
@c @implementation
public func attention_device_destroy(_ device: OpaquePointer!) {
  release(device, CPUDevice.self)
}

/// See `attention.h`.
@c @implementation
public func attention_variant_create(
  _ text: UnsafePointer<CChar>!, _ variant: UnsafeMutablePointer<OpaquePointer?>!
) -> attention_status {
  call {
    guard let text, let variant else { throw CallFailure("text or variant is NULL") }
    variant.pointee = handle(VariantHandle(try AttentionVariant(text: String(cString: text))))
  }
}

/// See `attention.h`.
@c @implementation
public func attention_variant_destroy(_ variant: OpaquePointer!) {
  release(variant, VariantHandle.self)
}

/// See `attention.h`.
@c @implementation
public func attention_plan_create(
  _ device: OpaquePointer!, _ variant: OpaquePointer!,
  _ options: UnsafePointer<attention_plan_options>!, _ plan: UnsafeMutablePointer<OpaquePointer?>!
) -> attention_status {
  call {
    guard let plan, let options else { throw CallFailure("options or plan is NULL") }
    let settings = options.pointee
    try checkSize(settings.size, attention_plan_options.self, "options")
    let bounds =
      settings.max_requests <= 0
      ? nil
      : AttentionBounds(
        requests: Int(settings.max_requests), queryRows: Int(settings.max_query_rows),
        pages: Int(settings.max_pages), pageSize: Int(max(settings.max_page_size, 1)),
        blockRows: Int(settings.max_block_rows))
    let headDimension = Int(settings.head_dimension)
    let valueDimension = Int(settings.value_dimension)
    plan.pointee = handle(
      PlanHandle(
        try AttentionPlan(
          device: object(device, CPUDevice.self, "device"),
          shape: AttentionShape(
            queryHeads: Int(settings.query_heads), kvHeads: Int(settings.kv_heads),
            headDimension: headDimension,
            valueDimension: valueDimension == 0 ? headDimension : valueDimension),
          variant: object(variant, VariantHandle.self, "variant").variant,
          workers: settings.workers == 0 ? nil : Int(settings.workers),
          composition: settings.composition_off != 0 ? .off : .automatic,
          isBatchInvariant: settings.batch_invariant != 0, bounds: bounds)))
  }
}

/// See `attention.h`.
@c @implementation
public func attention_plan_destroy(_ plan: OpaquePointer!) {
  release(plan, PlanHandle.self)
}

/// See `attention.h`.
@c @implementation
public func attention_plan_update(
  _ plan: OpaquePointer!, _ batch: UnsafePointer<attention_batch>!
) -> attention_status {
  call {
    let plan = try object(plan, PlanHandle.self, "plan")
    guard let batch else { throw CallFailure("batch is NULL") }
    try checkSize(batch.pointee.size, attention_batch.self, "batch")
    let taken = try AttentionBatch(taking: batch.pointee)
    try plan.exclusively { plan, _ in try plan.update(taken) }
  }
}

/// See `attention.h`.
@c @implementation
public func attention_plan_bind(
  _ plan: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ data: UnsafePointer<attention_tensor>!
) -> attention_status {
  call {
    let plan = try object(plan, PlanHandle.self, "plan")
    guard let name else { throw CallFailure("name is NULL") }
    let key = String(cString: name)
    let tensor = try TensorArgument(data, key)
    try plan.exclusively { plan, scratch in
      var tensors = VariantTensors()
      if tensor.type == .uint8 {
        tensors[mask: key] = try tensor.bytes()
      } else {
        tensors[key] = try tensor.floatList(on: plan.device, scratch)
      }
      try plan.bind(tensors)
    }
  }
}

/// See `attention.h`.
@c @implementation
public func attention_plan_run(
  _ plan: OpaquePointer!, _ queries: UnsafePointer<attention_tensor>!,
  _ keys: UnsafePointer<attention_tensor>!, _ values: UnsafePointer<attention_tensor>!,
  _ keyScales: UnsafePointer<attention_tensor>!, _ valueScales: UnsafePointer<attention_tensor>!,
  _ output: UnsafePointer<attention_tensor>!, _ lse: UnsafePointer<attention_tensor>!
) -> attention_status {
  call {
    let plan = try object(plan, PlanHandle.self, "plan")
    let queries = try TensorArgument(queries, "queries")
    let output = try TensorArgument(output, "output")
    let lse = try TensorArgument.optional(lse, "lse")
    try plan.exclusively { plan, scratch in
      let shape = plan.shape
      try queries.requireRows(plan.queryCount, [shape.queryHeads, shape.headDimension])
      try output.requireRows(plan.queryCount, [shape.queryHeads, shape.valueDimension])
      try lse?.requireRows(plan.queryCount, [shape.queryHeads])
      if plan.queryCount == 0 { return }
      let cache = try PagedKVCache(
        borrowing: TensorArgument(keys, "keys"), TensorArgument(values, "values"),
        keyScales: TensorArgument.optional(keyScales, "key_scales"),
        valueScales: TensorArgument.optional(valueScales, "value_scales"), on: plan.device,
        scratch)
      let q = try FloatRows(queries, trailing: 2, .read, on: plan.device, scratch)
      let o = try FloatRows(output, trailing: 2, .write, on: plan.device, scratch)
      let l = try lse.map { try FloatRows($0, .write, on: plan.device, scratch) }
      try plan.run(
        queries: q.view, cache: cache, output: o.view, lse: l.map { .base2($0.view) })
      o.store()
      l?.store()
    }
  }
}

/// Throws unless a structure is the one that this library knows.
func checkSize<Structure>(_ size: UInt32, _ type: Structure.Type, _ name: String) throws {
  guard Int(size) == MemoryLayout<Structure>.size else {
    throw CallFailure(
      "\(name) has size \(size); this library's structure has \(MemoryLayout<Structure>.size)")
  }
}

extension PagedKVCache {
  /// A caller's pool, used in place.
  convenience init(
    borrowing keys: TensorArgument, _ values: TensorArgument, keyScales: TensorArgument?,
    valueScales: TensorArgument?, on device: CPUDevice, _ scratch: Scratch
  ) throws {
    try keys.require(nil, nil, nil, nil)
    try values.require(keys.length(0), keys.length(1), keys.length(2), nil)
    guard keys.type == values.type else {
      throw CallFailure("values have elements of type \(values.type); expected \(keys.type)")
    }
    for tensor in [keys, values] where tensor.length(3) > 1 && tensor.stride(3) != 1 {
      throw CallFailure("\(tensor.name): elements of a head must be adjacent")
    }
    func strides(_ tensor: TensorArgument) -> ForeignStrides {
      ForeignStrides(page: tensor.stride(0), head: tensor.stride(2), token: tensor.stride(1))
    }
    func scales(_ tensor: TensorArgument?) throws -> [Float]? {
      guard let tensor else { return nil }
      let list = try tensor.floatList(on: device, scratch)
      return list.count == 1 ? [Float](repeating: list[0], count: keys.length(2)) : list
    }
    try self.init(
      borrowingKeys: keys.base, keyStrides: strides(keys), values: values.base,
      valueStrides: strides(values), pageCount: keys.length(0), pageSize: keys.length(1),
      kvHeads: keys.length(2), headDimension: keys.length(3), valueDimension: values.length(3),
      elementType: keys.floatType(), keyScales: scales(keyScales),
      valueScales: scales(valueScales))
  }
}

extension AttentionBatch {
  /// A caller's batch.
  init(taking batch: attention_batch) throws {
    let pageSize = Int(batch.page_size)
    let offsets = try TensorArgument(batch.query_offsets, "query_offsets").integers()
    let pageOffsets = try TensorArgument(batch.page_offsets, "page_offsets").integers()
    let pages = try TensorArgument(batch.pages, "pages").integers()
    let lengths = try TensorArgument.optional(batch.kv_lengths, "kv_lengths")?.integers()
    guard pageOffsets.count == offsets.count, let end = pageOffsets.last else {
      throw CallFailure(
        "page_offsets has \(pageOffsets.count) elements; expected \(offsets.count), as many as "
          + "query_offsets")
    }
    // Page lists of fixed memory may be longer than what is in use.
    guard (0...pages.count).contains(end) else {
      throw CallFailure("page_offsets ends at \(end); pages has \(pages.count) elements")
    }
    let used = Array(pages.prefix(end))
    let table: PageTable
    if let lengths {
      let ragged = try RaggedIndex(offsets: pageOffsets)
      guard lengths.count == ragged.count else {
        throw CallFailure("kv_lengths has \(lengths.count) elements; expected \(ragged.count)")
      }
      table = try PageTable(
        requests: lengths.indices.map { (Array(used[ragged[$0]]), lengths[$0]) },
        pageSize: pageSize)
    } else {
      var last = try TensorArgument(batch.last_page_lengths, "last_page_lengths").integers()
      guard last.count == offsets.count - 1 else {
        throw CallFailure(
          "last_page_lengths has \(last.count) elements; expected \(offsets.count - 1)")
      }
      for r in last.indices where pageOffsets[r] == pageOffsets[r + 1] { last[r] = 0 }
      table = try PageTable(
        offsets: pageOffsets, indices: used, lastPageLengths: last, pageSize: pageSize)
    }
    let rows = try batch.block_map.map { map in
      try BlockRows(masks: [Self.masks(batch, map)], pageSize: pageSize)
    }
    try self.init(offsets: offsets, pages: table, rows: rows)
  }

  /// The block-sparse masks of the only request, one or one for each head.
  private static func masks(
    _ batch: attention_batch, _ map: UnsafePointer<attention_tensor>
  ) throws -> [BlockMask] {
    let map = try TensorArgument(map, "block_map")
    let rows = try TensorArgument(batch.block_rows, "block_rows")
    let columns = try TensorArgument(batch.block_columns, "block_columns")
    let (bits, rowSizes, columnSizes) = (
      try map.booleans(), try rows.integers(), try columns.integers()
    )
    guard map.rank == 2 || map.rank == 3, rows.columns == map.length(-2),
      columns.columns == map.length(-1)
    else {
      throw CallFailure(
        "block_map has shape \(map.shape); expected [heads, \(rows.columns), \(columns.columns)]")
    }
    let heads = map.rank == 3 ? map.length(0) : 1
    guard rows.rows == heads, columns.rows == heads else {
      throw CallFailure("block_rows and block_columns: expected sizes for \(heads) heads")
    }
    let (m, n) = (rows.columns, columns.columns)
    return try (0..<heads).map { head in
      try BlockMask(
        rowSizes: Array(rowSizes[head * m..<head * m + m]),
        columnSizes: Array(columnSizes[head * n..<head * n + n]),
        map: Array(bits[head * m * n..<(head + 1) * m * n]))
    }
  }
}

/// See `attention.h`.
@c @implementation
public func attention_merge_state(
  _ device: OpaquePointer!, _ a: UnsafePointer<attention_tensor>!,
  _ aLSE: UnsafePointer<attention_tensor>!, _ b: UnsafePointer<attention_tensor>!,
  _ bLSE: UnsafePointer<attention_tensor>!, _ mask: UnsafePointer<attention_tensor>!,
  _ result: UnsafePointer<attention_tensor>!, _ resultLSE: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let a = try StateArgument(a, aLSE, "a", .read, device, scratch)
    let b = try StateArgument(b, bLSE, "b", .read, device, scratch)
    let result = try StateArgument(
      result, resultLSE, "result", mask == nil ? .write : .update, device, scratch)
    if let mask {
      let mask = try TensorArgument(mask, "mask").booleans()
      try device.mergeStateInPlace(result.states, b.states, mask: mask)
    } else {
      try device.mergeState(a.states, b.states, into: result.states)
    }
    result.store()
  }
}

/// See `attention.h`.
@c @implementation
public func attention_merge_states(
  _ device: OpaquePointer!, _ states: UnsafePointer<attention_tensor>!,
  _ lses: UnsafePointer<attention_tensor>!, _ result: UnsafePointer<attention_tensor>!,
  _ resultLSE: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, scratch in
    let tensor = try TensorArgument(states, "states")
    try tensor.require(nil, nil, nil, nil)
    let parts = try StateArgument(states, lses, "states", .read, device, scratch)
    let result = try StateArgument(result, resultLSE, "result", .write, device, scratch)
    try device.mergeStates(parts.states, count: tensor.length(1), into: result.states)
    result.store()
  }
}

/// Attention states as arguments: outputs […, heads, dimension], log-sum-exps […, heads].
private struct StateArgument {
  let states: AttentionStates
  private let outputs: FloatRows
  private let lses: FloatRows

  init(
    _ outputs: UnsafePointer<attention_tensor>?, _ lses: UnsafePointer<attention_tensor>?,
    _ name: String, _ access: FloatRows.Access, _ device: CPUDevice, _ scratch: Scratch
  ) throws {
    let outputTensor = try TensorArgument(outputs, name)
    let lseTensor = try TensorArgument(lses, "\(name)_lse")
    guard outputTensor.rank >= 2, lseTensor.shape == Array(outputTensor.shape.dropLast()) else {
      throw CallFailure(
        "\(name)_lse has shape \(lseTensor.shape); expected \(outputTensor.shape) less its last axis"
      )
    }
    self.outputs = try FloatRows(outputTensor, trailing: 2, access, on: device, scratch)
    self.lses = try FloatRows(lseTensor, access, on: device, scratch)
    states = AttentionStates(outputs: self.outputs.view, logSumExps: self.lses.view, base: .two)
  }

  func store() {
    outputs.store()
    lses.store()
  }
}
