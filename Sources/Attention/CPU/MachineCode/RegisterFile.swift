/// Which registers hold which values: single ones for values of one group of operations, and sets of one
/// for each vector that is computed side by side.
struct RegisterFile {
  enum Place {
    case nowhere
    /// One register.
    case single(Int)
    /// As many as there are vectors.
    case set(Int)
    /// Memory, where registers did not suffice.
    case slot(Int)
  }

  /// A value that has to leave its registers, for a slot.
  struct Spilled {
    let set: Int
    let slot: Int
  }

  private(set) var places: [Place] = []
  /// The value of each single register and of each set.
  private var singles: [Int?] = []
  private var sets: [Int?] = []
  private var lanes = 1

  init() {}

  init(singles: Int, sets: Int, lanes: Int, values: Int) {
    places = [Place](repeating: .nowhere, count: values)
    self.singles = [Int?](repeating: nil, count: singles)
    self.sets = [Int?](repeating: nil, count: sets)
    self.lanes = lanes
  }

  /// The number of a value's register for a vector, if it is in one.
  func register(_ value: Int, _ lane: Int) -> UInt8? {
    switch places[value] {
    case .single(let number): UInt8(number)
    case .set(let set): register(set: set, lane)
    case .nowhere, .slot: nil
    }
  }

  func register(set: Int, _ lane: Int) -> UInt8 { UInt8(singles.count + set * lanes + lane) }

  /// Makes a value's registers free for others; it can be read until they are written.
  mutating func release(_ value: Int) {
    switch places[value] {
    case .single(let number): singles[number] = nil
    case .set(let set): sets[set] = nil
    case .nowhere, .slot: break
    }
  }

  /// Gives a value the registers of another that ends with it, if it is of the same kind.
  mutating func take(for value: Int, isOwn: Bool, from other: Int) -> Bool {
    switch places[other] {
    case .single(let number) where isOwn: singles[number] = value
    case .set(let set) where !isOwn: sets[set] = value
    default: return false
    }
    places[value] = places[other]
    return true
  }

  /// Gives a value registers: free ones, else those of the value whose next use, in `nextUse`, is
  /// furthest away.
  mutating func take(
    for value: Int, isOwn: Bool, slots: inout SlotList, nextUse: (_ value: Int) -> Int
  ) -> Spilled? {
    if isOwn, let free = singles.firstIndex(where: { $0 == nil }) {
      singles[free] = value
      places[value] = .single(free)
      return nil
    }
    if let free = sets.firstIndex(where: { $0 == nil }) {
      sets[free] = value
      places[value] = .set(free)
      return nil
    }
    var (victim, furthest) = (0, -1)
    for (set, owner) in sets.enumerated() {
      let next = nextUse(owner ?? 0)
      if next > furthest { (victim, furthest) = (set, next) }
    }
    let slot = slots.take()
    if let owner = sets[victim] { places[owner] = .slot(slot) }
    sets[victim] = value
    places[value] = .set(victim)
    return Spilled(set: victim, slot: slot)
  }
}

/// The numbers of places in memory that are in use, as few as can be.
struct SlotList {
  private(set) var count = 0
  private var free: [Int] = []

  mutating func take() -> Int {
    if let slot = free.popLast() { return slot }
    count += 1
    return count - 1
  }

  mutating func release(_ slot: Int) { free.append(slot) }
}
