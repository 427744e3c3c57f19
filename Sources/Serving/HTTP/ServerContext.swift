import Hummingbird
import NIOCore

/// A request's surroundings: the connection it came by.
struct ServerContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    channel = source.channel
  }

  /// Whether the client is still there.
  var presence: ClientPresence {
    get async throws {
      let channel = channel
      return try await channel.eventLoop.submit {
        try channel.pipeline.syncOperations.handler(type: ConnectionHandler.self).presence
      }.get()
    }
  }
}
