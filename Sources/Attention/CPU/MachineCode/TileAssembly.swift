internal import CMicrokernels

/// Makes the machine code of a tile program: loops over rows and vectors around its straight-line code.
///
/// The function's arguments are a `swa_tile_memory`, rows and width, as of `run_tile`. Rows follow one
/// another; of a row some vectors are computed side by side, or, where a row is one vector, some rows.
///
/// | register | holds |
/// |---|---|
/// | rdi | the memory |
/// | rsi, rdx | rows that are left, bytes of a row |
/// | rax | bytes of the row that are done |
/// | r8, r9, r10, r11 | the row's block, the columns, the row's values, its registers |
/// | r12 | bytes to the row's pointers |
/// | rcx, rbx, r13 | anything, for one operation |
/// | zmm0 to zmm29 | values, and from the end whatever stays the same for a row or for all |
/// | zmm30, zmm31, k6, k7 | anything, for one operation |
struct TileAssembly {
  /// Registers of vectors that values and constants have.
  static let vectors = 30
  /// The most vectors side by side.
  static let widest = 8
  /// The most instructions of a loop, so that it stays in the first cache.
  static let longest = 2_048
  /// The most bytes of stack: less than what guards its end.
  static let largestFrame = 2_048

  let code: VectorCode
  let layout: TileLayout
  let lifetimes: Lifetimes
  /// Vectors computed side by side.
  let width: Int
  /// Whether there are more masks at a time than registers for them.
  let spillsMasks: Bool
  var assembler = Assembler()
  /// What stays in a register throughout.
  private(set) var resident: [VectorCode.Source: UInt8] = [:]
  /// Slots of eight bytes on the stack for addresses.
  private var pointerSlots: [PointerSlot: Int] = [:]
  /// Slots of 64 bytes for values without a register.
  var slots = SlotList()
  private var frameNumber = 0

  // The body that is being made: see TileAssembly+Body.
  var lanes = 1
  var values = RegisterFile()
  var masks = RegisterFile()
  var temporaries: [VectorCode.Operand?] = [nil, nil]
  var pointerInRegister: Int?
  /// Whether one operation is written for all vectors in turn, which may share what it loads.
  var sharesTemporaries = false

  /// An address that is kept on the stack.
  enum PointerSlot: Hashable {
    case external(Int)
    case floats(Int)
    /// The byte of a row's first bit, and the bit's number in it.
    case bits(Int)
    case shift(Int)
  }

  /// The code, or `nil` where the program is too large for it.
  static func bytes(_ code: VectorCode, _ layout: TileLayout) -> [UInt8]? {
    var assembly = TileAssembly(code, layout)
    if layout.isOneVector && assembly.readsPointers { return nil }
    assembly.makeFunction()
    guard assembly.assembler.isValid, assembly.frameBytes <= largestFrame else { return nil }
    return assembly.assembler.finish()
  }

  private init(_ code: VectorCode, _ layout: TileLayout) {
    self.code = code
    self.layout = layout
    lifetimes = Lifetimes(code)
    let (values, masks) = (lifetimes.values, lifetimes.masks)
    var width = Self.widest
    while width > 1,
      values.own + width * values.shared > Self.vectors || masks.own + width * masks.shared > 7
        || width * code.operations.count > Self.longest
    { width /= 2 }
    self.width = width
    spillsMasks = masks.own + masks.shared > 7
    makeResident(most: Self.vectors - values.own - width * values.shared)
    assignPointers()
  }

  // MARK: What stays

  /// Whether a source is the same for all vectors that are computed side by side.
  func isShared(_ source: VectorCode.Source) -> Bool {
    switch source {
    case .constant, .masked, .lanes: true
    case .row: !layout.isOneVector
    case .column: layout.isOneVector
    default: false
    }
  }

  /// Gives registers that are left over to what is read most.
  private mutating func makeResident(most: Int) {
    var uses: [VectorCode.Source: Int] = [:]
    var order: [VectorCode.Source] = []
    for operation in code.operations {
      operation.forEachSource { source in
        guard isShared(source) else { return }
        if uses[source] == nil { order.append(source) }
        uses[source, default: 0] += 1
      }
    }
    // Stable: what comes first in the program wins.
    let ranked = order.indices.sorted {
      let (a, b) = (uses[order[$0]] ?? 0, uses[order[$1]] ?? 0)
      return a > b || a == b && $0 < $1
    }
    for i in ranked.prefix(max(most, 0)) {
      resident[order[i]] = UInt8(Self.vectors - 1 - resident.count)
    }
  }

  /// Loads what stays the same for a row, or for all of them.
  private mutating func loadResident(ofRow: Bool) {
    for (source, register) in resident.sorted(by: { $0.value > $1.value }) {
      let isOfRow = if case .row = source { true } else { false }
      if isOfRow == ofRow { load(register, memory(source, lane: 0)) }
    }
  }

  // MARK: Addresses on the stack

  private mutating func assignPointers() {
    func add(_ slot: PointerSlot) {
      if pointerSlots[slot] == nil { pointerSlots[slot] = pointerSlots.count * 8 }
    }
    for operation in code.operations {
      operation.forEachSource { source in
        if case .external(let e) = source { add(.external(e)) }
        if case .pointer(let p) = source { add(.floats(p)) }
      }
      if case .bits(let p) = operation.kind {
        add(.bits(p))
        add(.shift(p))
      }
    }
  }

  private var readsPointers: Bool {
    pointerSlots.keys.contains { if case .external = $0 { false } else { true } }
      || code.operations.contains { $0.kind == .count }
  }

  func address(_ slot: PointerSlot) -> Address {
    .memory(.rsp, offset: pointerSlots[slot] ?? 0)
  }

  func slotAddress(_ slot: Int) -> Address {
    .memory(.rsp, offset: (pointerSlots.count * 8 + 63) / 64 * 64 + slot * 64)
  }

  private var frameBytes: Int { (pointerSlots.count * 8 + 63) / 64 * 64 + slots.count * 64 }

  /// A member of the memory.
  func member<T>(_ path: KeyPath<swa_tile_memory, T>) -> Address {
    .memory(.rdi, offset: MemoryLayout<swa_tile_memory>.offset(of: path) ?? 0)
  }

  // MARK: The function

  private mutating func makeFunction() {
    let end = assembler.label()
    makeBeginning()
    assembler.apply(.compare, .rsi, 0)
    assembler.jump(.equal, to: end)
    if layout.isOneVector { makeRows() } else { makeRow() }
    assembler.place(end)
    assembler.write(UInt32(truncatingIfNeeded: frameBytes), at: frameNumber)
    assembler.address(.rsp, .memory(.rbp, offset: -24))
    for register in [GeneralRegister.r13, .r12, .rbx, .rbp] { assembler.pop(register) }
    assembler.clearUpperHalves()
    assembler.ret()
  }

  private mutating func makeBeginning() {
    assembler.push(.rbp)
    assembler.move(.rbp, .rsp)
    for register in [GeneralRegister.rbx, .r12, .r13] { assembler.push(register) }
    assembler.apply(.and, .rsp, -64)
    assembler.apply(.subtract, .rsp, 0)
    frameNumber = assembler.lastNumber
    assembler.shiftLeft(.rdx, by: 2)
    assembler.clear(.rax)
    assembler.clear(.r12)
    assembler.load(.r8, member(\.block))
    assembler.load(.r9, member(\.columns))
    assembler.load(.r10, member(\.row_values))
    assembler.load(.r11, member(\.registers))
    assembler.load(.rbx, member(\.externals))
    for slot in pointerSlots.keys {
      guard case .external(let e) = slot else { continue }
      let offset = e * MemoryLayout<swa_tile_external>.stride
      assembler.load(.rcx, .memory(.rbx, offset: offset))
      assembler.store(address(slot), .rcx)
    }
    loadResident(ofRow: false)
  }

  /// How many vectors are computed side by side: the most as long as there are as many, then fewer.
  private var steps: [Int] { Array(sequence(first: width) { $0 > 1 ? $0 / 2 : nil }) }

  /// One row after the other.
  private mutating func makeRow() {
    let row = assembler.label()
    assembler.place(row)
    loadPointers()
    loadResident(ofRow: true)
    assembler.clear(.rax)
    for lanes in steps {
      let (again, next) = (assembler.label(), assembler.label())
      assembler.address(.rcx, .memory(.rax, offset: 64 * lanes))
      assembler.compare(.rcx, .rdx)
      assembler.jump(.above, to: next)
      assembler.place(again)
      makeBody(lanes: lanes)
      assembler.apply(.add, .rax, 64 * lanes)
      if lanes == width {
        assembler.address(.rcx, .memory(.rax, offset: 64 * lanes))
        assembler.compare(.rcx, .rdx)
        assembler.jump(.belowOrEqual, to: again)
      }
      assembler.place(next)
    }
    advance(rows: 1)
    assembler.jump(.notEqual, to: row)
  }

  /// Rows of one vector, some at a time.
  private mutating func makeRows() {
    for lanes in steps {
      let (again, next) = (assembler.label(), assembler.label())
      assembler.apply(.compare, .rsi, lanes)
      assembler.jump(.below, to: next)
      assembler.place(again)
      makeBody(lanes: lanes)
      advance(rows: lanes)
      if lanes == width {
        assembler.apply(.compare, .rsi, lanes)
        assembler.jump(.aboveOrEqual, to: again)
      }
      assembler.place(next)
    }
  }

  /// Goes on; the flags say whether rows are left.
  private mutating func advance(rows: Int) {
    assembler.apply(.add, .r8, rows * layout.blockPitch * 4)
    assembler.apply(.add, .r10, rows * 4)
    assembler.apply(.add, .r11, rows * layout.registerPitch * 4)
    assembler.apply(.add, .r12, rows * 8)
    for slot in pointerSlots.keys {
      guard case .external = slot else { continue }
      assembler.apply(.add, address(slot), rows * layout.externalPitch * 4)
    }
    assembler.apply(.subtract, .rsi, rows)
  }

  /// Where a row's pointers lead to, from its first column on.
  private mutating func loadPointers() {
    for slot in pointerSlots.keys {
      switch slot {
      case .external, .shift: break
      case .floats(let p):
        loadPointer(p)
        assembler.load(.rbx, member(\.first))
        assembler.shiftLeft(.rbx, by: 2)
        assembler.address(.rcx, .memory(.rcx, index: .rbx, offset: 0))
        assembler.store(address(slot), .rcx)
      case .bits(let p):
        loadPointer(p)
        assembler.load(.rbx, member(\.row_bits))
        assembler.load(
          .rbx, .memory(.rbx, index: .r12, offset: p * layout.rowPointerPitch * 8))
        assembler.add(.rbx, member(\.first))
        assembler.move(.r13, .rbx)
        assembler.apply(.and, .r13, 7)
        assembler.store(address(.shift(p)), .r13)
        assembler.shiftRight(.rbx, by: 3)
        assembler.address(.rcx, .memory(.rcx, index: .rbx, offset: 0))
        assembler.store(address(slot), .rcx)
      }
    }
  }

  private mutating func loadPointer(_ p: Int) {
    assembler.load(.rcx, member(\.row_pointers))
    assembler.load(.rcx, .memory(.rcx, index: .r12, offset: p * layout.rowPointerPitch * 8))
  }
}
