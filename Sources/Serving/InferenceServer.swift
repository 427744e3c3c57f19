import Hummingbird
import HummingbirdCore
public import Inference
public import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Serves a model over HTTP with OpenAI's API.
///
/// ```swift
/// let server = InferenceServer(engine, options: ServerOptions(), logger: Logger(label: "server"))
/// try await server.run { print("listening on \($0)") }
/// ```
public final class InferenceServer: Sendable {
  let engine: InferenceEngine
  let options: ServerOptions
  let served: ServedModel
  let metrics = ServerMetrics()
  let logger: Logger
  let constraints: ConstraintCache
  private let stopping = Atomic(false)

  /// A server for an engine that runs; ``run(signals:onReady:)`` starts it.
  public init(_ engine: InferenceEngine, options: ServerOptions, logger: Logger) {
    self.engine = engine
    self.options = options
    self.logger = logger
    served = ServedModel(engine, options)
    constraints = ConstraintCache(served.tokenizer)
  }

  /// Whether the server takes no new requests.
  var isStopping: Bool { stopping.load(ordering: .relaxed) }

  /// Serves until SIGTERM or SIGINT, or until the task is cancelled; then lets accepted requests end
  /// within ``ServerOptions/drain``.
  ///
  /// - Parameters:
  ///   - handlesSignals: whether SIGTERM and SIGINT end the server.
  ///   - onReady: called once with the address, as a URL or a socket's path, when requests can come.
  /// - Throws: ``ServerFailure``.
  public func run(
    handlesSignals: Bool = true, onReady: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws {
    let router = makeRouter().buildResponder()
    let application = Application(
      // In a task of its own: while an answer is streamed, the connection's task keeps the largest
      // stack that it ever had.
      responder: CallbackResponder { request, context in
        async let response = router.respond(to: request, context: context)
        return try await response
      },
      server: try builder(),
      configuration: configuration,
      onServerRunning: { [options] channel in onReady(options.url(of: channel.localAddress)) },
      logger: quiet)
    var group = ServiceGroupConfiguration(
      services: [Drain(server: self, application: application), Throughput(server: self)],
      gracefulShutdownSignals: handlesSignals ? [.sigterm, .sigint] : [], logger: quiet)
    // Requests end by the engine's deadline; this is for connections that never end.
    group.maximumGracefulShutdownDuration = options.drain + .seconds(2)
    do {
      try await ServiceGroup(configuration: group).run()
    } catch let error as IOError {
      throw ServerFailure.cannotListen(address: options.address, reason: error.description)
    }
    await engine.stop(deadline: .zero)
  }

  /// Takes no new requests; those accepted may end.
  func drain() {
    guard !stopping.exchange(true, ordering: .relaxed) else { return }
    logger.info("stopping", metadata: ["seconds": "\(options.drain.components.seconds)"])
    Task { await engine.stop(deadline: options.drain) }
  }

  /// Hummingbird's own messages only where something is wrong.
  private var quiet: Logger {
    var logger = logger
    logger.logLevel = max(logger.logLevel, .warning)
    return logger
  }

  private var configuration: ApplicationConfiguration {
    let address: BindAddress =
      switch options.address {
      case .host(let host, let port): .hostname(host, port: port)
      case .unixSocket(let path): .unixDomainSocket(path: path)
      }
    return ApplicationConfiguration(
      address: address, serverName: "swift-attention", backlog: 4096,
      availableConnectionsDelegate: MaximumAvailableConnections(options.limits.connections))
  }
}

/// Serves, and drains when told to stop.
private struct Drain<Responder: HTTPResponder>: Service
where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
  let server: InferenceServer
  let application: Application<Responder>

  func run() async throws {
    try await withGracefulShutdownHandler {
      try await application.run()
    } onGracefulShutdown: {
      server.drain()
    }
  }
}

/// Why a server cannot run.
public enum ServerFailure: Error, Hashable, CustomStringConvertible {
  /// The address cannot be listened on.
  case cannotListen(address: ServerOptions.Address, reason: String)
  /// A certificate or key cannot be used.
  case tls(String)

  /// What is wrong and where.
  public var description: String {
    switch self {
    case .cannotListen(.host(let host, let port), let reason):
      "cannot listen on \(host):\(port): \(reason)"
    case .cannotListen(.unixSocket(let path), let reason): "cannot listen on \(path): \(reason)"
    case .tls(let reason): "TLS: \(reason)"
    }
  }
}

extension ServerOptions {
  /// The address as a client writes it.
  func url(of address: SocketAddress?) -> String {
    let scheme = tls == nil ? "http" : "https"
    switch self.address {
    case .host(let host, let port):
      let name = host.contains(":") ? "[\(host)]" : host
      return "\(scheme)://\(name):\(address?.port ?? port)"
    case .unixSocket(let path): return path
    }
  }
}
