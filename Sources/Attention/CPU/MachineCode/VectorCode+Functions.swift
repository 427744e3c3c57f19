// The functions of `attention_functions.inc` and `vector.h` in the same instructions: the same bits.
extension VectorCode {
  /// The polynomial of x whose coefficients these are, the highest first.
  private mutating func polynomial(_ coefficients: [Float], _ x: Operand) -> Operand {
    var p = Operand.float(coefficients[0])
    for c in coefficients.dropFirst() { p = value(.product(.add), p, x, .float(c)) }
    return p
  }

  mutating func absolute(_ x: Operand) -> Operand {
    value(.binary(.and), x, .bits(0x7FFF_FFFF))
  }

  /// n and x − n·ln 2 for e^x = 2^n·e^(x − n·ln 2).
  private mutating func reduced(_ x: Operand) -> (whole: Operand, rest: Operand) {
    let shifted = value(.product(.add), x, .float(0x1.715476p0), .float(0x1.8p23))
    let whole = value(.binary(.subtract), shifted, .float(0x1.8p23))
    let r = value(.product(.negatedAdd), whole, .float(0x1.62e400p-1), x)
    return (whole, value(.product(.negatedAdd), whole, .float(0x1.7f7d1cp-20), r))
  }

  /// `vf_exp`, with 2^n in one instruction, which rounds as the two factors do.
  ///
  /// NaN passes the limits.
  mutating func exp(_ x: Operand) -> Operand {
    let low = value(.binary(.maximum), .float(-104), x)
    let (whole, r) = reduced(value(.binary(.minimum), .float(89), low))
    let p = polynomial(
      [
        0x1.a01a02p-13, 0x1.6c16c2p-10, 0x1.111112p-7, 0x1.555556p-5, 0x1.555556p-3, 0x1p-1, 1, 1,
      ], r)
    return value(.binary(.scale), p, whole)
  }

  /// `exp_of_negative`.
  private mutating func expOfNegative(_ x: Operand) -> Operand {
    let counts = mask(.compare(.notLess), x, .float(-87))
    let (whole, r) = reduced(value(.binary(.maximum), .float(-87), x))
    let p = polynomial(
      [
        0x1.6a23e4p-10, 0x1.123a2p-7, 0x1.5558f2p-5, 0x1.555492p-3, 0x1.fffffcp-2, 1, 1,
      ], r)
    let y = value(.binary(.scale), p, whole)
    return value(.keep, y, mask: counts)
  }

  /// `vf_sigmoid`.
  mutating func sigmoid(_ x: Operand) -> Operand {
    let e = expOfNegative(value(.binary(.or), x, .bits(0x8000_0000)))
    let isNegative = mask(.compare(.less), x, .float(0))
    let above = value(.blend, e, .float(1), mask: isNegative)
    return value(.binary(.divide), above, value(.binary(.add), e, .float(1)))
  }

  /// `vf_tanh`.
  mutating func tanh(_ x: Operand) -> Operand {
    let low = value(.binary(.minimum), .float(9), x)
    let within = value(.binary(.maximum), .float(-9), low)
    let z = value(.binary(.multiply), within, within)
    let p = polynomial(
      [0x1.cada2cp-27, 0x1.59c25ep-16, 0x1.ca2c02p-9, 0x1.120b0cp-3, 1], z)
    let above = value(.binary(.multiply), within, p)
    let q = polynomial([0x1.a17e78p-21, 0x1.58857ap-12, 0x1.a7f7b4p-6, 0x1.de5adp-2, 1], z)
    let y = value(.binary(.divide), above, q)
    return value(
      .binary(.maximum), .float(-1), value(.binary(.minimum), .float(1), y))
  }

  /// `vf_log`.
  mutating func log(_ x: Operand) -> Operand {
    let shifted = value(.binary(.subtractIntegers), x, .bits(0x3F35_04F3))
    let n = value(.unary(.fromIntegers, nil), value(.shiftRight(23), shifted))
    let mantissa = value(.binary(.and), shifted, .bits(0x007F_FFFF))
    let f = value(
      .binary(.subtract), value(.binary(.addIntegers), mantissa, .bits(0x3F35_04F3)), .float(1))
    let p = polynomial(
      [
        -0x1.38b52p-4, 0x1.055b5ep-3, -0x1.0d854cp-3, 0x1.22da1ep-3, -0x1.547244p-3, 0x1.99a008p-3,
        -0x1.000226p-2, 0x1.555554p-2,
      ], f)
    let rest = value(.product(.subtract), f, p, .float(0.5))
    var y = value(.binary(.multiply), value(.binary(.multiply), f, f), rest)
    y = value(.product(.add), n, .float(0x1.7f7d1cp-20), y)
    y = value(.product(.add), n, .float(0x1.62e400p-1), value(.binary(.add), y, f))
    let isTiny = mask(.compare(.less), x, .float(0x1p-126))
    y = value(.blend, .float(-.infinity), y, mask: isTiny)
    let isNegative = mask(.compare(.less), x, .float(0))
    y = value(.blend, .bits(0x7FC0_0000), y, mask: isNegative)
    // Infinity and NaN.
    let isNumber = mask(.compare(.notLess), x, .float(.infinity))
    return value(.blend, x, y, mask: isNumber)
  }
}
