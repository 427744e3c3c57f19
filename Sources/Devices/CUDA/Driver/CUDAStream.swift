/// Work of a device in order: copies, launches, graphs.
///
/// Calls return before the work is done.
public final class CUDAStream: Sendable {
  /// Whose work it is.
  public let context: CUDAContext
  nonisolated(unsafe) let handle: CUDAFunctions.Handle

  /// A stream that does not wait for others.
  public init(_ context: CUDAContext) throws(CUDAFailure) {
    var handle: CUDAFunctions.Handle
    handle = nil
    // 1 is CU_STREAM_NON_BLOCKING.
    try context.call("cuStreamCreate") { $0.makeStream(&handle, 1) }
    (self.context, self.handle) = (context, handle)
  }

  deinit { context.release { $0.destroyStream(handle) } }

  /// Copies to the device.
  ///
  /// - Parameter bytes: Not to be written before the stream has come past this; pinned, unless the
  ///   call may wait.
  public func copy(_ bytes: UnsafeRawBufferPointer, to address: CUDAAddress) throws(CUDAFailure) {
    guard !bytes.isEmpty else { return }
    try context.call("cuMemcpyHtoDAsync") {
      $0.copyToDevice(address.bits, bytes.baseAddress, bytes.count, handle)
    }
  }

  /// Copies from the device into memory that holds the bytes when the stream has come past this.
  public func copy(_ address: CUDAAddress, to bytes: UnsafeMutableRawBufferPointer)
    throws(CUDAFailure)
  {
    guard !bytes.isEmpty else { return }
    try context.call("cuMemcpyDtoHAsync") {
      $0.copyToHost(bytes.baseAddress, address.bits, bytes.count, handle)
    }
  }

  /// Copies on the device.
  public func copy(_ from: CUDAAddress, to address: CUDAAddress, bytes: Int) throws(CUDAFailure) {
    guard bytes > 0 else { return }
    try context.call("cuMemcpyDtoDAsync") { $0.copy(address.bits, from.bits, bytes, handle) }
  }

  /// Sets bytes on the device.
  public func fill(_ address: CUDAAddress, bytes: Int, with byte: UInt8 = 0) throws(CUDAFailure) {
    guard bytes > 0 else { return }
    try context.call("cuMemsetD8Async") { $0.fill(address.bits, byte, bytes, handle) }
  }

  /// Launches a kernel.
  public func launch(_ kernel: CUDAKernel, _ launch: CUDALaunch) throws(CUDAFailure) {
    try kernel.check(launch)
    try launch.withArguments { arguments throws(CUDAFailure) in
      let (blocks, threads) = (UInt32(clamping: launch.blocks), UInt32(clamping: kernel.threads))
      let bytes = UInt32(clamping: kernel.sharedBytes)
      guard launch.isCooperative else {
        try context.call("cuLaunchKernel of \(launch.entryPoint)") {
          $0.launch(
            kernel.handle, blocks, 1, 1, threads, 1, 1, bytes, handle, arguments.baseAddress, nil)
        }
        return
      }
      try context.call("cuLaunchCooperativeKernel of \(launch.entryPoint)") {
        $0.launchTogether(
          kernel.handle, blocks, 1, 1, threads, 1, 1, bytes, handle, arguments.baseAddress)
      }
    }
  }

  /// Waits until all work so far is done.
  public func synchronize() throws(CUDAFailure) {
    try context.call("cuStreamSynchronize") { $0.synchronizeStream(handle) }
  }

  /// Lets work that follows wait for an event of another stream.
  public func wait(for event: CUDAEvent) throws(CUDAFailure) {
    try context.call("cuStreamWaitEvent") { $0.waitForEvent(handle, event.handle, 0) }
  }

  /// Records an event: it has happened when all work so far is done.
  public func record(_ event: CUDAEvent) throws(CUDAFailure) {
    try context.call("cuEventRecord") { $0.recordEvent(event.handle, handle) }
  }

  /// Collects the work that a closure gives this stream, without doing it.
  ///
  /// Addresses and arguments become the graph's own; what lies at the addresses may change between
  /// launches.
  public func capture(_ body: () throws(CUDAFailure) -> Void) throws(CUDAFailure) -> CUDAGraph {
    // 2 is CU_STREAM_CAPTURE_MODE_RELAXED: other threads may allocate meanwhile.
    try context.call("cuStreamBeginCapture") { $0.beginCapture(handle, 2) }
    var graph: CUDAFunctions.Handle
    graph = nil
    do throws(CUDAFailure) {
      try body()
    } catch {
      // The capture must end before the stream can be used again.
      context.release { $0.endCapture(handle, &graph) }
      if graph != nil { context.release { $0.destroyGraph(graph) } }
      throw error
    }
    try context.call("cuStreamEndCapture") { $0.endCapture(handle, &graph) }
    defer { context.release { $0.destroyGraph(graph) } }
    var executable: CUDAFunctions.Handle
    executable = nil
    try context.call("cuGraphInstantiate") { $0.instantiate(&executable, graph, 0) }
    return CUDAGraph(context, executable)
  }

  /// Does the work of a graph.
  public func launch(_ graph: CUDAGraph) throws(CUDAFailure) {
    try context.call("cuGraphLaunch") { $0.launchGraph(graph.handle, handle) }
  }
}

/// Work that was collected once and can be launched many times.
public final class CUDAGraph: Sendable {
  fileprivate nonisolated(unsafe) let handle: CUDAFunctions.Handle
  private let context: CUDAContext

  fileprivate init(_ context: CUDAContext, _ handle: CUDAFunctions.Handle) {
    (self.context, self.handle) = (context, handle)
  }

  deinit { context.release { $0.destroyExecutable(handle) } }
}

/// A point in a stream's work.
public final class CUDAEvent: Sendable {
  fileprivate nonisolated(unsafe) let handle: CUDAFunctions.Handle
  private let context: CUDAContext

  /// An event.
  ///
  /// - Parameter isTimed: Whether `milliseconds(since:)` will be asked.
  public init(_ context: CUDAContext, isTimed: Bool = false) throws(CUDAFailure) {
    var handle: CUDAFunctions.Handle
    handle = nil
    // 2 is CU_EVENT_DISABLE_TIMING.
    try context.call("cuEventCreate") { $0.makeEvent(&handle, isTimed ? 0 : 2) }
    (self.context, self.handle) = (context, handle)
  }

  deinit { context.release { $0.destroyEvent(handle) } }

  /// Waits until it has happened.
  public func synchronize() throws(CUDAFailure) {
    try context.call("cuEventSynchronize") { $0.synchronizeEvent(handle) }
  }

  /// The time between two events that have happened.
  public func milliseconds(since start: CUDAEvent) throws(CUDAFailure) -> Float {
    var time: Float = 0
    try context.call("cuEventElapsedTime") { $0.elapsedTime(&time, start.handle, handle) }
    return time
  }
}
