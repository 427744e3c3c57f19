/// A growing array at an address that only `reserve` moves: the parts that a plan is made of.
///
/// Kernels on other threads read it through `base`, so it must not grow while a run is under way.
/// In a plan with bounds it is placed in the workspace and never moves.
final class Section<Element: BitwiseCopyable> {
  /// The elements, `count` of them valid.
  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  /// The elements that there is room for.
  private(set) var capacity: Int
  private var isOwner = true

  init(capacity: Int = 16) {
    self.capacity = max(capacity, 1)
    base = .allocate(capacity: self.capacity)
  }

  deinit { if isOwner { base.deallocate() } }

  /// Empties the section and moves it to memory that someone else owns and keeps alive.
  func place(at memory: UnsafeMutablePointer<Element>, capacity: Int) {
    if isOwner { base.deallocate() }
    (base, self.capacity, isOwner, count) = (memory, capacity, false, 0)
  }

  /// Makes room for `needed` elements in all.
  func reserve(_ needed: Int) {
    guard needed > capacity else { return }
    capacity = max(needed, capacity * 2)
    let moved = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
    moved.update(from: base, count: count)
    if isOwner { base.deallocate() }
    (base, isOwner) = (moved, true)
  }

  func removeAll() { count = 0 }

  func append(_ element: Element) {
    if count == capacity { reserve(count + 1) }
    base[count] = element
    count += 1
  }

  func removeLast(_ removed: Int) { count -= removed }

  func popLast() -> Element? {
    guard count > 0 else { return nil }
    count -= 1
    return base[count]
  }

  /// Makes `count` elements valid whose contents are whatever lies there, for a caller that writes
  /// them all.
  func setCount(_ count: Int) {
    reserve(count)
    self.count = count
  }

  /// Replaces the contents by `elements`.
  func assign(_ elements: [Element]) {
    removeAll()
    reserve(elements.count)
    elements.withUnsafeBufferPointer { source in
      if let first = source.baseAddress { base.update(from: first, count: source.count) }
    }
    count = elements.count
  }

  /// Replaces the contents by `count` copies of `element`.
  func fill(_ element: Element, count: Int) {
    removeAll()
    reserve(count)
    base.update(repeating: element, count: count)
    self.count = count
  }

  /// The elements, for loops outside kernels.
  var elements: UnsafeMutableBufferPointer<Element> { .init(start: base, count: count) }
}
