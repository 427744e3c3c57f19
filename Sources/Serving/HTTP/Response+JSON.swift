import HTTPTypes
import Hummingbird
import NIOCore
import Tokenizers

extension Response {
  /// A response with a JSON body.
  init(_ json: JSON, status: HTTPResponse.Status = .ok) {
    var bytes: [UInt8] = []
    json.write(to: &bytes)
    self.init(
      status: status, headers: [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
  }

  /// A response with a text.
  init(_ text: String, type: String) {
    self.init(
      status: .ok, headers: [.contentType: type],
      body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  /// A response that says what is wrong.
  init(_ error: APIError) {
    self.init(error.json, status: error.status)
    if let seconds = error.retryAfter { headers[.retryAfter] = String(seconds) }
    if error.status == .unauthorized { headers[.wwwAuthenticate] = "Bearer" }
  }
}
