import HTTPTypes
import Tokenizers

/// What a client is told when a request cannot be answered, in OpenAI's shape.
struct APIError: Error, Equatable {
  var status: HTTPResponse.Status
  var type: String
  var message: String
  /// The request's field that is at fault, as a path: `messages[0].role`.
  var param: String?
  var code: String?
  /// Seconds after which it is worth trying again.
  var retryAfter: Int?

  /// The error's body.
  var json: JSON {
    [
      "error": [
        "message": .string(message), "type": .string(type),
        "param": param.map(JSON.string) ?? .null,
        "code": code.map(JSON.string) ?? .null,
      ]
    ]
  }

  /// A field has a value that cannot be used.
  static func invalid(_ param: String?, _ message: String, code: String? = nil) -> APIError {
    APIError(
      status: .badRequest, type: "invalid_request_error", message: message, param: param,
      code: code ?? (param == nil ? nil : "invalid_value"))
  }

  /// A field that nobody knows.
  static func unknown(_ param: String) -> APIError {
    .invalid(param, "'\(param)' is not a field of this request", code: "unknown_parameter")
  }

  /// A field that is known but not supported with the value given.
  static func unsupported(_ param: String, _ message: String) -> APIError {
    .invalid(param, message, code: "unsupported_parameter")
  }

  static func notFound(_ message: String, param: String? = nil, code: String) -> APIError {
    APIError(
      status: .notFound, type: "invalid_request_error", message: message, param: param, code: code)
  }

  static let unauthorized = APIError(
    status: .unauthorized, type: "authentication_error",
    message: "expected a valid API key in the header 'Authorization: Bearer KEY'", param: nil,
    code: "invalid_api_key")

  static func tooLarge(limit: Int) -> APIError {
    APIError(
      status: .contentTooLarge, type: "invalid_request_error",
      message: "the request's body is larger than the \(limit) bytes this server accepts",
      param: nil, code: "request_too_large")
  }

  static func overloaded(_ message: String, retryAfter: Int) -> APIError {
    APIError(
      status: .serviceUnavailable, type: "service_unavailable_error", message: message, param: nil,
      code: "overloaded", retryAfter: retryAfter)
  }

  static func server(_ message: String) -> APIError {
    APIError(
      status: .internalServerError, type: "server_error", message: message, param: nil, code: nil)
  }

  /// The client went away; nobody reads this.
  static let clientLeft = APIError(
    status: .init(code: 499, reasonPhrase: "Client Closed Request"), type: "client_error",
    message: "the client closed the connection", param: nil, code: nil)
}
