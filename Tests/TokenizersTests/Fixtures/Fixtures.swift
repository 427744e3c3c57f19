import Testing
import Tokenizers

/// Small vocabularies and texts with what other implementations make of them.
///
/// The data are written by `scripts/tokenizer_fixtures.py`.
enum Fixtures {
  static func read(_ text: String) throws -> JSON { try JSON(parsing: text) }
}

extension JSON {
  struct Missing: Error { var name: String }

  var text: String? { if case .string(let text) = self { text } else { nil } }

  var list: [JSON] { if case .array(let items) = self { items } else { [] } }

  var memberList: [JSON.Member] { if case .object(let members) = self { members } else { [] } }

  var tokenIDs: [TokenID] {
    list.compactMap { if case .integer(let id) = $0 { TokenID(id) } else { nil } }
  }

  func member(_ name: String) throws -> JSON {
    guard let member = self[name] else { throw Missing(name: name) }
    return member
  }

  /// The value as JSON text, enough for what the fixtures hold.
  var source: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .number(let value): String(value)
    case .string(let text):
      "\""
        + text.unicodeScalars.map { scalar in
          switch scalar {
          case "\"": "\\\""
          case "\\": "\\\\"
          case "\0"..."\u{1f}":
            "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
          default: String(scalar)
          }
        }.joined() + "\""
    case .array(let items): "[" + items.map(\.source).joined(separator: ",") + "]"
    case .object(let members):
      "{"
        + members.map { JSON.string($0.name).source + ":" + $0.value.source }
        .joined(separator: ",") + "}"
    }
  }

  var bytes: [UInt8] { Array(source.utf8) }
}
