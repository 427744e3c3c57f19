import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Tokenizers

/// Watches one connection: notices that the client leaves, lets a client that asks send its body, and
/// answers what is not HTTP with an error in the API's own shape.
///
/// Hummingbird's own way to notice a leaving client ends the connection with the response; this one
/// keeps it for the next request. A client that closes its sending half counts as gone.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  let presence = ClientPresence()
  /// Requests whose response has not ended.
  private var unanswered = 0
  /// The last request's body has not come to its end.
  private var isReading = false
  private var isResponding = false
  private var failure: (any Error)?
  private var hasFailed = false

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // The parts of a request whose head could not be read.
    if failure != nil { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      unanswered += 1
      isReading = true
      if unanswered == 1, head.headerFields[.expect]?.lowercased() == "100-continue" {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
    case .body: break
    case .end: isReading = false
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    // After the answer to something that was not HTTP nothing more may follow.
    if hasFailed {
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    let part = unwrapOutboundIn(data)
    switch part {
    case .head: isResponding = true
    case .body: break
    case .end:
      isResponding = false
      unanswered -= 1
    }
    context.write(data, promise: promise)
    if case .end = part, failure != nil {
      context.flush()
      if unanswered == 0 { answerFailure(context) }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event { presence.leave() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    presence.leave()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard error is HTTPParserError || error is HTTP1TypeConversionError else {
      context.fireErrorCaught(error)
      return
    }
    if failure != nil { return }
    failure = error
    if isResponding {
      // The response goes on to its end only where its request was read whole.
      if isReading { context.close(promise: nil) }
    } else if unanswered == 0 || (unanswered == 1 && isReading) {
      answerFailure(context)
    }
  }

  private func answerFailure(_ context: ChannelHandlerContext) {
    if case HTTPParserError.headerOverflow? = failure {
      answer(context, .requestHeaderFieldsTooLarge, "the request's header is too large")
    } else {
      answer(context, .badRequest, "the request is not well-formed HTTP/1.1")
    }
  }

  private func answer(
    _ context: ChannelHandlerContext, _ status: HTTPResponse.Status, _ message: String
  ) {
    var error = APIError.invalid(nil, message)
    error.status = status
    let body = error.json.text
    let head = HTTPResponse(
      status: status,
      headerFields: [
        .contentType: "application/json", .contentLength: String(body.utf8.count),
        .connection: "close",
      ])
    hasFailed = true
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(ByteBuffer(string: body))), promise: nil)
    let channel = context.channel
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
      channel.close(promise: nil)
    }
  }
}
