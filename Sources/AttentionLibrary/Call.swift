internal import Attention
internal import CAttention
internal import Devices
import Glibc

/// Why a call was refused by the interface itself.
struct CallFailure: Error, CustomStringConvertible {
  let description: String
  let status: attention_status

  init(_ description: String, status: Int = Int(ATTENTION_INVALID_ARGUMENT)) {
    self.description = description
    self.status = attention_status(status)
  }

  static func memory(_ bytes: Int) -> CallFailure {
    CallFailure("the system refused \(bytes) bytes", status: Int(ATTENTION_OUT_OF_MEMORY))
  }
}

/// Runs a call's body; what it throws becomes a status and this thread's message.
func call(_ body: () throws -> Void) -> attention_status {
  do {
    try body()
    return attention_status(ATTENTION_OK)
  } catch {
    LastError.set("\(error)")
    return status(of: error)
  }
}

/// Runs the body of an operator, with memory that lives as long as it.
func operation(
  _ device: OpaquePointer?, _ body: (CPUDevice, Scratch) throws -> Void
) -> attention_status {
  call {
    let device = try object(device, CPUDevice.self, "device")
    let scratch = Scratch()
    try withExtendedLifetime(scratch) { try body(device, scratch) }
  }
}

private func status(of error: any Error) -> attention_status {
  switch error {
  case let error as CallFailure: return error.status
  case PagedKVCache.Failure.memory, AttentionPlan.Failure.memory:
    return attention_status(ATTENTION_OUT_OF_MEMORY)
  default: return attention_status(ATTENTION_INVALID_ARGUMENT)
  }
}

/// The last message of every thread.
enum LastError {
  /// Threads free their messages when they end.
  private static let key: pthread_key_t? = {
    var key = pthread_key_t()
    return pthread_key_create(&key, { free($0) }) == 0 ? key : nil
  }()

  static func set(_ message: String) {
    guard let key else { return }
    free(pthread_getspecific(key))
    pthread_setspecific(key, strdup(message))
  }

  static var message: UnsafePointer<CChar>? {
    guard let key, let text = pthread_getspecific(key) else { return nil }
    return UnsafePointer(text.assumingMemoryBound(to: CChar.self))
  }
}

/// The empty message.
private nonisolated(unsafe) let noMessage: UnsafePointer<CChar> = {
  let text = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
  text.initialize(to: 0)
  return UnsafePointer(text)
}()

/// See `attention.h`.
@c @implementation
public func attention_version() -> UInt32 {
  UInt32(ATTENTION_VERSION_MAJOR) << 16 | UInt32(ATTENTION_VERSION_MINOR)
}

/// See `attention.h`.
@c @implementation
public func attention_last_error() -> UnsafePointer<CChar>! { LastError.message ?? noMessage }
