internal import Attention
internal import Devices
internal import Synchronization
internal import Tensors

// What opaque pointers of the interface stand for.

/// A retained object as an opaque pointer.
func handle(_ object: AnyObject) -> OpaquePointer {
  OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

/// The object of an opaque pointer that this library gave out.
func object<Object: AnyObject>(_ pointer: OpaquePointer?, _ type: Object.Type, _ name: String)
  throws -> Object
{
  guard let pointer else { throw CallFailure("\(name) is NULL") }
  return Unmanaged<Object>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
}

/// Lets go of an object.
func release<Object: AnyObject>(_ pointer: OpaquePointer?, _ type: Object.Type) {
  guard let pointer else { return }
  Unmanaged<Object>.fromOpaque(UnsafeRawPointer(pointer)).release()
}

/// A variant.
final class VariantHandle: Sendable {
  let variant: AttentionVariant

  init(_ variant: AttentionVariant) { self.variant = variant }
}

/// A plan, its scratch memory and the lock that calls wait for.
///
/// - Invariant: `plan` and `scratch` are used inside `exclusively` only.
final class PlanHandle: @unchecked Sendable {
  let device: CPUDevice
  private let plan: AttentionPlan
  private let scratch = Scratch()
  private let lock = Mutex<Void>(())

  init(_ plan: AttentionPlan) {
    self.plan = plan
    device = plan.device
  }

  /// Runs `body` while no other call uses the plan.
  func exclusively(_ body: (AttentionPlan, Scratch) throws -> Void) throws {
    try lock.withLock { _ in
      scratch.begin()
      try withExtendedLifetime(self) { try body(plan, scratch) }
    }
  }
}
