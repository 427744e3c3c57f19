internal import CMicrokernels
public import Devices
public import Tensors

extension PagedKVCache {
  /// Stores the keys and values of a batch's new tokens where its page table puts them.
  ///
  /// Row i of the matrices belongs to query row i of the batch; a request's new tokens are its last
  /// ones. Call it before `AttentionPlan.run` of the same step: new tokens attend to themselves.
  ///
  /// - Parameters:
  ///   - keys: `tokens × (kvHeads · headDimension)`.
  ///   - values: `tokens × (kvHeads · valueDimension)`.
  ///   - batch: Whose new tokens they are.
  ///   - device: Whose threads convert.
  public func append(
    keys: MatrixView, values: MatrixView, of batch: AttentionBatch, on device: CPUDevice
  ) throws(Failure) {
    guard batch.pages.pageSize == pageSize else {
      throw .pageSize(expected: pageSize, found: batch.pages.pageSize)
    }
    if !batch.pages.positions.isEmpty {
      do { try batch.checkNewTokens() } catch { throw .indices(error) }
    }
    try append(keys: keys, values: values, slots: batch.newTokenSlots, on: device)
  }

  /// Stores keys and values at positions of requests: FlashInfer's `append_paged_kv_cache`.
  ///
  /// - Parameters:
  ///   - keys: `rows × (kvHeads · headDimension)`.
  ///   - values: `rows × (kvHeads · valueDimension)`.
  ///   - indices: The request and the position of each row, none twice.
  ///   - pages: Each request's pages.
  ///   - device: Whose threads convert.
  public func append(
    keys: MatrixView, values: MatrixView, at indices: AppendIndices, pages: PageTable,
    on device: CPUDevice
  ) throws(Failure) {
    guard pages.pageSize == pageSize else {
      throw .pageSize(expected: pageSize, found: pages.pageSize)
    }
    let slots: [Int]
    do { slots = try pages.slots(of: indices) } catch { throw .indices(error) }
    try append(keys: keys, values: values, slots: slots, on: device)
  }

  /// Stores rows at slots, slot = page · pageSize + place in the page; a slot of −1 skips its row.
  ///
  /// - Parameters:
  ///   - keys: `slots × (kvHeads · headDimension)`.
  ///   - values: `slots × (kvHeads · valueDimension)`.
  ///   - slots: One for each row, no slot twice.
  ///   - device: Whose threads convert.
  public func append(
    keys: MatrixView, values: MatrixView, slots: [Int], on device: CPUDevice
  ) throws(Failure) {
    try check(keys, "keys", rows: slots.count, columns: kvHeads * headDimension)
    try check(values, "values", rows: slots.count, columns: kvHeads * valueDimension)
    let limit = pageCount * pageSize
    for (i, slot) in slots.enumerated() where slot < -1 || slot >= limit {
      throw .slot(slot, index: i, limit: limit)
    }
    let kernels = device.attentionKernels[elementType]
    device.pool.forEachRange(slots.count, grain: 16) { rows in
      for i in rows where slots[i] >= 0 {
        store(keys.row(i), values.row(i), slot: slots[i], kernels)
      }
    }
  }

  private func check(_ matrix: MatrixView, _ name: String, rows: Int, columns: Int)
    throws(Failure)
  {
    guard matrix.rows == rows, matrix.columns == columns else {
      throw .shape(name, expected: [rows, columns], found: [matrix.rows, matrix.columns])
    }
  }

  /// Writes one token's keys and values of every head; the slot has been checked.
  private func store(
    _ key: UnsafePointer<Float>, _ value: UnsafePointer<Float>, slot: Int,
    _ kernels: swa_kv_kernels
  ) {
    let (page, place) = (slot / pageSize, slot % pageSize)
    for head in 0..<kvHeads {
      let keyHead = keyBase + geometry.keyOffset(page: page, head: head)
      let valueHead = valueBase + geometry.valueOffset(page: page, head: head)
      let k = key + head * headDimension
      if geometry.hasPanels {
        let tokens = Int(SWA_PANEL_TOKENS)
        kernels.store_key(
          k, headDimension, keyHead + place / tokens * geometry.panelBytes, place % tokens)
      } else {
        kernels.store_row(k, headDimension, keyHead + place * geometry.keyRowBytes)
      }
      kernels.store_row(
        value + head * valueDimension, valueDimension, valueHead + place * geometry.valueRowBytes)
    }
  }

  /// Reads one token's key and value of a head as they are stored: what attention computes with.
  ///
  /// Slow; for tests, export and debugging.
  public func row(slot: Int, head: Int, on device: CPUDevice) throws(Failure) -> (
    key: [Float], value: [Float]
  ) {
    guard (0..<pageCount * pageSize).contains(slot) else {
      throw .slot(slot, index: 0, limit: pageCount * pageSize)
    }
    guard (0..<kvHeads).contains(head) else { throw .size("head", head) }
    let kernels = device.attentionKernels[elementType]
    let (page, place) = (slot / pageSize, slot % pageSize)
    var key = [Float](repeating: 0, count: headDimension)
    var value = [Float](repeating: 0, count: valueDimension)
    let keyHead = keyBase + geometry.keyOffset(page: page, head: head)
    if geometry.hasPanels {
      let tokens = Int(SWA_PANEL_TOKENS)
      kernels.load_key(
        keyHead + place / tokens * geometry.panelBytes, place % tokens, headDimension, &key)
    } else {
      kernels.load_row(keyHead + place * geometry.keyRowBytes, headDimension, &key)
    }
    let valueHead = valueBase + geometry.valueOffset(page: page, head: head)
    kernels.load_row(valueHead + place * geometry.valueRowBytes, valueDimension, &value)
    return (key, value)
  }
}

extension swa_attention_kernels {
  /// The kernels for a stored form; f32 for any type that a cache does not take.
  subscript(type: ElementType) -> swa_kv_kernels {
    switch type {
    case .float16: f16
    case .bfloat16: bf16
    default: f32
    }
  }
}
