/// When the values of straight-line code are read for the last time, and how many live at a time.
struct Lifetimes {
  /// The most at a time: of those that one group of operations makes and reads, of which there is one
  /// whatever the number of vectors, and of the others, of which each vector has its own.
  struct Pressure {
    var own = 0
    var shared = 0
  }

  /// The last operation that reads each value, or mask.
  let lastUses: [Int]
  let lastMaskUses: [Int]
  /// Whether only the group of operations that makes it reads it.
  let isOwn: [Bool]
  let isOwnMask: [Bool]
  private(set) var values = Pressure()
  private(set) var masks = Pressure()

  init(_ code: VectorCode) {
    var last = [Int](repeating: -1, count: code.valueCount)
    var lastMask = [Int](repeating: -1, count: code.maskCount)
    var group = last
    var maskGroup = lastMask
    var isOwn = [Bool](repeating: true, count: code.valueCount)
    var isOwnMask = [Bool](repeating: true, count: code.maskCount)
    for (i, operation) in code.operations.enumerated() {
      operation.forEachValue {
        last[$0] = i
        if group[$0] != operation.group { isOwn[$0] = false }
      }
      operation.forEachMask {
        lastMask[$0] = i
        if maskGroup[$0] != operation.group { isOwnMask[$0] = false }
      }
      if operation.target < 0 { continue }
      if operation.kind.isMask {
        maskGroup[operation.target] = operation.group
      } else {
        group[operation.target] = operation.group
      }
    }
    (lastUses, lastMaskUses) = (last, lastMask)
    (self.isOwn, self.isOwnMask) = (isOwn, isOwnMask)
    var live = (values: Pressure(), masks: Pressure())
    for (i, operation) in code.operations.enumerated() {
      for value in ending(operation, at: i) { live.values.add(-1, isOwn[value]) }
      for mask in endingMasks(operation, at: i) { live.masks.add(-1, isOwnMask[mask]) }
      if operation.kind.isMask {
        live.masks.add(1, isOwnMask[operation.target])
      } else if operation.target >= 0 {
        live.values.add(1, isOwn[operation.target])
      }
      values.raise(to: live.values)
      masks.raise(to: live.masks)
    }
  }

  /// The values that an operation is the last to read, each once.
  func ending(_ operation: VectorCode.Operation, at i: Int) -> [Int] {
    var ending: [Int] = []
    operation.forEachValue { if lastUses[$0] == i && !ending.contains($0) { ending.append($0) } }
    return ending
  }

  func endingMasks(_ operation: VectorCode.Operation, at i: Int) -> [Int] {
    var ending: [Int] = []
    operation.forEachMask {
      if lastMaskUses[$0] == i && !ending.contains($0) { ending.append($0) }
    }
    return ending
  }
}

extension Lifetimes.Pressure {
  fileprivate mutating func add(_ count: Int, _ isOwn: Bool) {
    if isOwn { own += count } else { shared += count }
  }
  fileprivate mutating func raise(to other: Self) {
    (own, shared) = (max(own, other.own), max(shared, other.shared))
  }
}
