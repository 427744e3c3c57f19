public import CAttention
internal import Devices
import Glibc
internal import Tensors

// Appending to key/value caches of `attention.h`.

/// See `attention.h`.
@c @implementation
public func attention_append(
  _ device: OpaquePointer!, _ rows: UnsafePointer<attention_tensor>!,
  _ batchIndices: UnsafePointer<attention_tensor>!, _ positions: UnsafePointer<attention_tensor>!,
  _ pool: UnsafePointer<attention_tensor>!, _ pageOffsets: UnsafePointer<attention_tensor>!,
  _ pages: UnsafePointer<attention_tensor>!
) -> attention_status {
  operation(device) { device, _ in
    let rows = try TensorArgument(rows, "rows")
    let pool = try TensorArgument(pool, "pool")
    try rows.require(nil, nil, nil)
    try pool.require(nil, nil, rows.length(1), rows.length(2))
    guard rows.type == pool.type else {
      throw CallFailure("rows have elements of type \(rows.type); expected \(pool.type)")
    }
    let requests = try TensorArgument(batchIndices, "batch_indices")
    let places = try TensorArgument(positions, "positions")
    try requests.require(rows.length(0))
    try places.require(rows.length(0))
    let slots = try slots(
      requests: requests.integers(), positions: places.integers(),
      offsets: TensorArgument(pageOffsets, "page_offsets").integers(),
      pages: TensorArgument(pages, "pages").integers(), pageCount: pool.length(0),
      pageSize: pool.length(1))
    let (heads, dimension, size) = (rows.length(1), rows.length(2), rows.type.bytes)
    let isAdjacent = dimension <= 1 || rows.stride(2) == 1 && pool.stride(2 + 1) == 1
    device.pool.forEachRange(slots.count, grain: 64) { range in
      for row in range {
        guard let slot = slots[row] else { continue }
        let (page, place) = slot
        for head in 0..<heads {
          let from = rows.base + (row * rows.stride(0) + head * rows.stride(1)) * size
          let to =
            pool.base
            + (page * pool.stride(0) + place * pool.stride(1) + head * pool.stride(2)) * size
          if isAdjacent {
            memmove(to, from, dimension * size)
          } else {
            for i in 0..<dimension {
              memmove(to + i * pool.stride(3) * size, from + i * rows.stride(2) * size, size)
            }
          }
        }
      }
    }
  }
}

/// The page and the place in it of every row; `nil` where the row is skipped.
private func slots(
  requests: [Int], positions: [Int], offsets: [Int], pages: [Int], pageCount: Int, pageSize: Int
) throws -> [(page: Int, place: Int)?] {
  let ragged = try RaggedIndex(offsets: offsets)
  guard ragged.total <= pages.count, pageSize > 0 else {
    throw CallFailure("page_offsets ends at \(ragged.total); pages has \(pages.count) elements")
  }
  return try requests.indices.map { row in
    let (request, position) = (requests[row], positions[row])
    if position < 0 { return nil }
    guard (0..<ragged.count).contains(request) else {
      throw CallFailure(
        "batch_indices names request \(request) at row \(row); expected 0 ..< \(ragged.count)")
    }
    let number = position / pageSize
    guard number < ragged[request].count else {
      throw CallFailure(
        "positions: row \(row) has position \(position), which no page of request \(request) holds")
    }
    let page = pages[ragged[request].lowerBound + number]
    guard (0..<pageCount).contains(page) else {
      throw CallFailure("pages names page \(page); pool has \(pageCount)")
    }
    return (page, position % pageSize)
  }
}

/// See `attention.h`.
@c @implementation
public func attention_append_positions(
  _ offsets: UnsafePointer<attention_tensor>!, _ kvLengths: UnsafePointer<attention_tensor>!,
  _ batchIndices: UnsafePointer<attention_tensor>!, _ positions: UnsafePointer<attention_tensor>!
) -> attention_status {
  call {
    let ragged = try RaggedIndex(offsets: TensorArgument(offsets, "offsets").integers())
    let lengths = try TensorArgument(kvLengths, "kv_lengths").integers()
    guard lengths.count == ragged.count else {
      throw CallFailure("kv_lengths has \(lengths.count) elements; expected \(ragged.count)")
    }
    let requests = try TensorArgument(batchIndices, "batch_indices")
    let places = try TensorArgument(positions, "positions")
    guard requests.rank == 1, requests.count >= ragged.total, places.shape == requests.shape else {
      throw CallFailure(
        "batch_indices and positions have shapes \(requests.shape) and \(places.shape); expected "
          + "at least [\(ragged.total)]")
    }
    var (numbers, tokens): ([Int], [Int]) = ([], [])
    for request in 0..<ragged.count {
      let count = ragged[request].count
      numbers += repeatElement(request, count: count)
      tokens += (0..<count).map { lengths[request] &- count &+ $0 }
    }
    let rest = repeatElement(-1, count: requests.count - ragged.total)
    try requests.store(numbers + rest)
    try places.store(tokens + rest)
  }
}
