package import CMicrokernels
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
  ///   - values: `tokens × (kvHeads · valueDimension)`; none where the cache is latent.
  ///   - batch: Whose new tokens they are.
  ///   - device: Whose threads convert.
  public func append(
    keys: MatrixView, values: MatrixView?, of batch: AttentionBatch, on device: CPUDevice
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
  ///   - values: `rows × (kvHeads · valueDimension)`; none where the cache is latent.
  ///   - indices: The request and the position of each row, none twice.
  ///   - pages: Each request's pages.
  ///   - device: Whose threads convert.
  public func append(
    keys: MatrixView, values: MatrixView?, at indices: AppendIndices, pages: PageTable,
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
    keys: MatrixView, values: MatrixView?, slots: [Int], on device: CPUDevice
  ) throws(Failure) {
    try check(keys, "keys", rows: slots.count, columns: kvHeads * headDimension)
    guard (values == nil) == geometry.sharesValues else {
      throw .values(sharesValues: geometry.sharesValues)
    }
    if let values {
      try check(values, "values", rows: slots.count, columns: kvHeads * valueDimension)
    }
    let limit = pageCount * pageSize
    for (i, slot) in slots.enumerated() where slot < -1 || slot >= limit {
      throw .slot(slot, index: i, limit: limit)
    }
    let kernels = device.attentionKernels[elementType]
    device.pool.forEachRange(slots.count, grain: 16) { rows in
      for i in rows where slots[i] >= 0 {
        store(keys.row(i), values?.row(i), slot: slots[i], kernels)
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
    _ key: UnsafePointer<Float>, _ value: UnsafePointer<Float>?, slot: Int,
    _ kernels: swa_kv_kernels
  ) {
    for head in 0..<kvHeads {
      let place = place(slot: slot, head: head)
      scaled(key + head * headDimension, headDimension, by: keyScales.base[head]) { key in
        if geometry.hasPanels {
          kernels.store_key(key, headDimension, place.key, place.token)
        } else {
          kernels.store_row(key, headDimension, place.key)
        }
      }
      guard let value else { continue }
      scaled(value + head * valueDimension, valueDimension, by: valueScales.base[head]) { value in
        if geometry.hasPanels {
          kernels.store_value(value, valueDimension, place.value, place.token)
        } else {
          kernels.store_row(value, valueDimension, place.value)
        }
      }
    }
  }

  /// A row divided by its scale.
  private func scaled(
    _ row: UnsafePointer<Float>, _ count: Int, by scale: Float,
    _ body: (UnsafePointer<Float>) -> Void
  ) {
    if scale == 1 { return body(row) }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { divided in
      guard let base = divided.baseAddress else { return }
      for i in 0..<count { base[i] = row[i] / scale }
      body(UnsafePointer(base))
    }
  }

  /// The row or panel that holds a token, and the token's place in the panel.
  private func place(slot: Int, head: Int) -> (
    key: UnsafeMutableRawPointer, value: UnsafeMutableRawPointer, token: Int
  ) {
    let page = slot / pageSize
    var (unit, token) = (slot % pageSize, 0)
    if geometry.hasPanels {
      (unit, token) = unit.quotientAndRemainder(dividingBy: Int(SWA_PANEL_TOKENS))
    }
    return (
      keyBase + geometry.key.offset(page: page, head: head, token: unit),
      valueBase + geometry.value.offset(page: page, head: head, token: unit), token
    )
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
    let place = place(slot: slot, head: head)
    var key = [Float](repeating: 0, count: headDimension)
    var value = [Float](repeating: 0, count: valueDimension)
    if geometry.hasPanels {
      kernels.load_key(place.key, place.token, headDimension, &key)
      kernels.load_value(place.value, place.token, valueDimension, &value)
    } else {
      kernels.load_row(place.key, headDimension, &key)
      kernels.load_row(place.value, valueDimension, &value)
    }
    let (keyScale, valueScale) = (keyScales.base[head], valueScales.base[head])
    return (key.map { $0 * keyScale }, value.map { $0 * valueScale })
  }
}

extension swa_attention_kernels {
  /// The kernels for a stored form; f32 for any type that a cache does not take.
  package subscript(type: ElementType) -> swa_kv_kernels {
    switch type {
    case .float16: f16
    case .bfloat16: bf16
    case .float8E4M3: e4m3
    case .float8E5M2: e5m2
    case .int8: i8
    default: f32
    }
  }
}

extension CPUDevice {
  /// Whether attention over keys and values of this type rounds queries and weights to bf16, as
  /// GPUs do, to multiply in pairs: at the level avx512bf16 for every type that is exact in bf16.
  ///
  /// Sums are 32-bit floats everywhere.
  public func roundsProducts(of type: ElementType) -> Bool {
    attentionKernels[type].packed.pairs
  }
}
