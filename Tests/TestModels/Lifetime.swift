/// Sees whether an object still lives, without keeping it.
package struct Lifetime: Sendable {
  private weak let object: (any AnyObject & Sendable)?

  /// Watches an object.
  package init(of object: any AnyObject & Sendable) { self.object = object }

  /// Waits for the object's end, which a thread of its own may be about to bring; returns whether it came.
  package func ends() async throws -> Bool {
    for _ in 0..<12_000 where object != nil { try await Task.sleep(for: .milliseconds(5)) }
    return object == nil
  }
}
