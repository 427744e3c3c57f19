import Tensors

/// The tensor type codes of the GGUF specification.
enum GGUFTensorType {
  /// The codes of the types this project reads.
  static let codes: [(code: UInt32, type: ElementType)] = [
    (0, .float32), (1, .float16), (2, .q4_0), (3, .q4_1), (6, .q5_0), (7, .q5_1), (8, .q8_0),
    (10, .q2_K), (11, .q3_K), (12, .q4_K), (13, .q5_K), (14, .q6_K),
    (24, .int8), (25, .int16), (26, .int32), (27, .int64), (28, .float64), (30, .bfloat16),
  ]

  /// The type of a code, or `nil` where this project does not read it.
  static func type(code: UInt32) -> ElementType? { codes.first { $0.code == code }?.type }

  /// The code of a type, or `nil` where GGUF has none.
  static func code(of type: ElementType) -> UInt32? { codes.first { $0.type == type }?.code }

  /// The names of the codes that exist but are not read, for messages.
  static let unsupportedNames: [UInt32: String] = [
    4: "Q4_2, withdrawn", 5: "Q4_3, withdrawn", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
    18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M",
    31: "Q4_0_4_4, withdrawn", 32: "Q4_0_4_8, withdrawn", 33: "Q4_0_8_8, withdrawn", 34: "TQ1_0",
    35: "TQ2_0", 36: "IQ4_NL_4_4, withdrawn", 37: "IQ4_NL_4_8, withdrawn",
    38: "IQ4_NL_8_8, withdrawn", 39: "MXFP4",
  ]
}
