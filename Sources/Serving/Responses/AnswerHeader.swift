import Glibc
import Tokenizers

/// What every answer to one request begins with.
struct AnswerHeader: Sendable {
  var id: String
  var object: String
  var created: Int
  var model: String

  init(prefix: String, object: String, model: String) {
    id =
      prefix + String(UInt64.random(in: .min ... .max), radix: 16)
      + String(UInt64.random(in: .min ... .max), radix: 16)
    self.object = object
    created = time(nil)
    self.model = model
  }

  /// An answer, or a chunk of a stream.
  func json(_ choices: [JSON], usage: JSON?) -> JSON {
    var members: [JSON.Member] = [
      .init("id", .string(id)), .init("object", .string(object)),
      .init("created", .integer(created)), .init("model", .string(model)),
      .init("choices", .array(choices)),
    ]
    if let usage { members.append(.init("usage", usage)) }
    return .object(members)
  }
}
