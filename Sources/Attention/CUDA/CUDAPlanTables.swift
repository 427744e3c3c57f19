import Devices
import Tensors

/// A plan's lists as a device has them: each at a place of its own that no batch moves, written into
/// memory that goes to the device in one copy.
///
/// Lists have the room that the plan's bounds give them. Data of the variant's tensors and masks lies
/// behind them, as much as a batch has.
struct CUDAPlanTables {
  /// Room for everything.
  let byteCount: Int
  /// Room before the lists for what goes along.
  let inputBytes: Int
  private let dataBytes: Int
  private let base: CUDAAddress

  /// Lists begin at multiples of this many bytes.
  fileprivate static let alignment = 256

  /// Places the lists of a plan with bounds from an address on.
  init(_ plan: AttentionPlan, inputBytes: Int = 0, dataBytes: Int, at base: CUDAAddress) {
    self.base = base
    self.inputBytes = inputBytes
    // Vectors over dimensions have their data from the beginning.
    self.dataBytes = dataBytes + Self.data(plan.parameters)
    var writer = Writer(base: base, memory: nil, after: inputBytes)
    var arguments = CUDAAttentionArguments()
    Self.place(plan, &writer, &arguments)
    byteCount = writer.end + self.dataBytes
  }

  /// A batch has more data than there is room for.
  struct TooMuchData: Error {
    let bytes, limit: Int
  }

  /// Writes the planned batch.
  ///
  /// - Parameter memory: `byteCount` bytes.
  /// - Returns: How many bytes the device needs, and the arguments that the lists' places make.
  func write(_ plan: AttentionPlan, to memory: UnsafeMutableRawBufferPointer) throws(TooMuchData)
    -> (bytes: Int, arguments: CUDAAttentionArguments)
  {
    var writer = Writer(base: base, memory: memory, after: inputBytes)
    var arguments = CUDAAttentionArguments()
    Self.place(plan, &writer, &arguments)
    let lists = (used: writer.used, end: writer.end)
    let bytes = Self.data(plan.parameters)
    guard bytes <= dataBytes else { throw TooMuchData(bytes: bytes, limit: dataBytes) }
    Self.place(plan.parameters, &writer, &arguments)
    return (writer.end > lists.end ? writer.used : lists.used, arguments)
  }

  private static func place(
    _ plan: AttentionPlan, _ writer: inout Writer, _ arguments: inout CUDAAttentionArguments
  ) {
    let (schedule, parameters) = (plan.schedule, plan.parameters)
    let requests = (plan.bounds?.requests ?? 0) + 1
    arguments.mergeCount = writer.place([Int32(truncatingIfNeeded: schedule.merges.count)])
    arguments.workerOffsets = writer.place(schedule.workerOffsets, room: plan.workers + 1)
    arguments.kvLengths = writer.place(plan.kvLengths)
    arguments.queryLengths = writer.place(plan.queryLengths)
    arguments.tokenOffsets = writer.place(parameters.tokenOffsets, room: requests)
    arguments.queryOffsets = writer.place(parameters.queryOffsets, room: requests)
    arguments.perHead = writer.place(parameters.perHead)
    // Their addresses are written when the data has its places.
    arguments.tensors = writer.place(parameters.tensors)
    arguments.masks = writer.place(parameters.masks)
    arguments.rowRequests = writer.place(plan.rowRequests)
    arguments.rowPositions = writer.place(plan.rowPositions)
    arguments.queryRows = writer.place(plan.queryRows)
    arguments.tiles = writer.place(schedule.tiles)
    arguments.items = writer.place(schedule.items)
    arguments.merges = writer.place(schedule.merges)
    arguments.mergeStates = writer.place(schedule.mergeStates)
    arguments.pagePositions = writer.place(plan.pagePositions)
    arguments.pageIndices = writer.place(plan.pageIndices)
    arguments.setPageSize(plan.pageSize)
  }

  /// What the data of tensors and masks takes.
  private static func data(_ parameters: ParameterStore) -> Int {
    func bytes<T>(_ sections: [Section<T>]) -> Int {
      sections.reduce(0) {
        $0 + ($1.count * MemoryLayout<T>.stride + alignment - 1) / alignment * alignment
      }
    }
    return bytes(parameters.floats) + bytes(parameters.bytes) + bytes(parameters.byteOffsets)
  }

  /// The data, and its addresses into the records before it.
  private static func place(
    _ parameters: ParameterStore, _ writer: inout Writer, _ arguments: inout CUDAAttentionArguments
  ) {
    for (i, section) in parameters.floats.enumerated() {
      let address = writer.place(section, room: section.count)
      let record = arguments.tensors + UInt64(i * MemoryLayout<ParameterData.Tensor>.stride)
      writer.write(address, at: record)
    }
    for (i, (bits, offsets)) in zip(parameters.bytes, parameters.byteOffsets).enumerated() {
      let record = arguments.masks + UInt64(i * MemoryLayout<ParameterData.Mask>.stride)
      writer.write(writer.place(bits, room: bits.count), at: record)
      writer.write(writer.place(offsets, room: offsets.count), at: record + 8)
    }
  }

  /// Puts lists one after the other; without memory it only counts.
  private struct Writer {
    let base: CUDAAddress
    let memory: UnsafeMutableRawBufferPointer?
    /// Where the next list begins, and the end of what has been written.
    private(set) var (end, used) = (0, 0)

    init(base: CUDAAddress, memory: UnsafeMutableRawBufferPointer?, after inputBytes: Int) {
      (self.base, self.memory) = (base, memory)
      let alignment = CUDAPlanTables.alignment
      end = (inputBytes + alignment - 1) / alignment * alignment
      used = inputBytes
    }

    mutating func place<T>(_ section: Section<T>, room: Int? = nil) -> UInt64 {
      place(
        UnsafeRawBufferPointer(
          start: section.base, count: section.count * MemoryLayout<T>.stride),
        room: (room ?? section.capacity) * MemoryLayout<T>.stride)
    }

    mutating func place(_ list: [Int32]) -> UInt64 {
      list.withUnsafeBytes { place($0, room: $0.count) }
    }

    private mutating func place(_ bytes: UnsafeRawBufferPointer, room: Int) -> UInt64 {
      let start = end
      if let memory, bytes.count > 0 {
        UnsafeMutableRawBufferPointer(rebasing: memory[start...]).copyMemory(from: bytes)
        used = start + bytes.count
      }
      end +=
        (max(room, bytes.count) + CUDAPlanTables.alignment - 1)
        / CUDAPlanTables.alignment * CUDAPlanTables.alignment
      return base.advanced(by: start).bits
    }

    /// Writes an address over one of the process's.
    func write(_ address: UInt64, at place: UInt64) {
      memory?.storeBytes(of: address, toByteOffset: Int(place - base.bits), as: UInt64.self)
    }
  }
}
