/// An EVEX instruction: its map, its prefix and its number.
struct VectorInstruction: Hashable {
  let map: UInt8
  let prefix: UInt8
  let opcode: UInt8
  var isWide = false

  private init(_ map: UInt8, _ prefix: UInt8, _ opcode: UInt8, isWide: Bool = false) {
    (self.map, self.prefix, self.opcode, self.isWide) = (map, prefix, opcode, isWide)
  }

  // Moves.
  static let load = VectorInstruction(1, 0, 0x10)  // vmovups
  static let store = VectorInstruction(1, 0, 0x11)
  static let move = VectorInstruction(1, 0, 0x28)  // vmovaps
  static let broadcast = VectorInstruction(2, 1, 0x18)  // vbroadcastss
  /// mask ? last : source.
  static let blend = VectorInstruction(2, 1, 0x65)  // vblendmps

  // source ∘ last.
  static let add = VectorInstruction(1, 0, 0x58)
  static let multiply = VectorInstruction(1, 0, 0x59)
  static let subtract = VectorInstruction(1, 0, 0x5C)
  /// source < last ? source : last.
  static let minimum = VectorInstruction(1, 0, 0x5D)
  static let divide = VectorInstruction(1, 0, 0x5E)
  /// source > last ? source : last.
  static let maximum = VectorInstruction(1, 0, 0x5F)
  static let and = VectorInstruction(1, 0, 0x54)
  static let or = VectorInstruction(1, 0, 0x56)
  static let exclusiveOr = VectorInstruction(1, 0, 0x57)
  static let addIntegers = VectorInstruction(1, 1, 0xFE)
  static let subtractIntegers = VectorInstruction(1, 1, 0xFA)
  /// source · 2^⌊last⌋.
  static let scale = VectorInstruction(2, 1, 0x2C)
  /// Into a mask.
  static let compare = VectorInstruction(1, 0, 0xC2)

  // f(last).
  static let squareRoot = VectorInstruction(1, 0, 0x51)
  static let fromIntegers = VectorInstruction(1, 0, 0x5B)  // vcvtdq2ps
  static let round = VectorInstruction(3, 1, 0x08)  // vrndscaleps
  /// By a number, into the source's place; which way stands in the place of the first operand.
  static let shiftIntegers = VectorInstruction(1, 1, 0x72)
  /// A general register's number into a float of the first lane.
  static let fromGeneral = VectorInstruction(1, 2, 0x2A, isWide: true)  // vcvtsi2ss

  var commutes: Bool {
    [.add, .multiply, .and, .or, .exclusiveOr, .addIntegers].contains(self)
  }
}

extension VectorInstruction {
  /// Products with a third term, rounded once.
  enum Product: UInt8 {
    /// a·b + c, a·b − c, c − a·b.
    case add = 0x98
    case subtract = 0x9A
    case negatedAdd = 0x9C

    /// target = ±target·last ± source.
    var multiplyingLast: VectorInstruction { VectorInstruction(2, 1, rawValue) }
    /// target = ±target·source ± last.
    var multiplyingSource: VectorInstruction { VectorInstruction(2, 1, rawValue + 0x10) }
    /// target = ±source·last ± target.
    var addingTarget: VectorInstruction { VectorInstruction(2, 1, rawValue + 0x20) }
  }

  /// Comparisons; `not…` hold where either side is NaN.
  enum Predicate: UInt8 {
    case equal = 0
    case less = 1
    case lessOrEqual = 2
    case notEqual = 4
    case notLess = 5
    case greaterOrEqual = 0x0D
    case greater = 0x0E

    /// The same with the sides exchanged, if there is one here.
    var exchanged: Predicate? {
      switch self {
      case .equal, .notEqual: self
      case .less: .greater
      case .lessOrEqual: .greaterOrEqual
      case .greater: .less
      case .greaterOrEqual: .lessOrEqual
      case .notLess: nil
      }
    }
  }
}
