import Synchronization

/// Whether the client of a connection is still there, and whom it concerns when it leaves.
final class ClientPresence: Sendable {
  private struct State {
    var hasLeft = false
    var onLeave: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  /// Calls `action` when the client leaves; at once, if it has.
  ///
  /// A connection serves one request at a time, so only the last action counts.
  func whenLeft(_ action: (@Sendable () -> Void)?) {
    let hasLeft = state.withLock { state in
      state.onLeave = action
      return state.hasLeft
    }
    if hasLeft { action?() }
  }

  /// The client has left.
  func leave() {
    let action = state.withLock { state in
      state.hasLeft = true
      let action = state.onLeave
      state.onLeave = nil
      return action
    }
    action?()
  }
}
