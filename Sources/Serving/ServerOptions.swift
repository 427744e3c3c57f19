/// How a server listens, whom it serves and how much.
public struct ServerOptions: Sendable {
  /// Where a server listens.
  public enum Address: Sendable, Hashable {
    /// A TCP port; port 0 takes any free one.
    case host(String, port: Int)
    /// A Unix socket's path.
    case unixSocket(String)
  }

  /// What a client may use up.
  public struct Limits: Sendable, Hashable {
    /// The largest body of a request, in bytes.
    public var body = 16 << 20
    /// Open connections; further ones wait to be accepted.
    public var connections = 4096
    /// Choices of one request, over all its prompts.
    public var choices = 128
    /// How long a request may wait for its first token; nil for ever.
    public var firstToken: Duration? = .seconds(600)
    /// How long a connection may be silent between requests, or while it sends one.
    public var idle = Duration.seconds(75)

    /// The usual limits.
    public init() {}
  }

  /// Certificate and key for TLS, as PEM files; needs the package trait `TLS`.
  public struct TLS: Sendable, Hashable {
    /// The certificate chain's file.
    public var certificate: String
    /// The private key's file.
    public var key: String

    /// Two files.
    public init(certificate: String, key: String) {
      self.certificate = certificate
      self.key = key
    }
  }

  /// Where the server listens.
  public var address = Address.host("127.0.0.1", port: 8000)
  /// The names of the model, by default its file's; the first is the one that answers carry.
  public var modelNames: [String] = []
  /// Keys of which a client must show one; empty lets everybody in.
  public var apiKeys: [String] = []
  /// The origin whose pages in browsers may use the server: `*`, or one origin; nil for none.
  public var corsOrigin: String?
  /// What a client may use up.
  public var limits = Limits()
  /// How long accepted requests may go on after a signal to stop.
  public var drain = Duration.seconds(30)
  /// How long a stream may be silent before a comment shows that it is alive.
  public var keepAlive = Duration.seconds(15)
  /// How often the log tells the throughput; nil for never.
  public var throughputInterval: Duration? = .seconds(10)
  /// What the metrics' names begin with.
  public var metricsPrefix = "attention_"
  /// TLS, where wanted.
  public var tls: TLS?

  /// Port 8000 on this machine only, for everybody on it.
  public init() {}
}
