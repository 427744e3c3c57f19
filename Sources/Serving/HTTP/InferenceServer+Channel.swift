import HummingbirdCore
import NIOCore

#if TLS
  import HummingbirdTLS
  import NIOSSL
#endif

extension InferenceServer {
  /// What each connection's bytes go through.
  func builder() throws -> HTTPServerBuilder {
    let plain = HTTPServerBuilder.http1(
      configuration: .init(
        additionalChannelHandlers: [ConnectionHandler()],
        idleTimeout: TimeAmount(options.limits.idle)))
    guard let tls = options.tls else { return plain }
    #if TLS
      do {
        let chain = try NIOSSLCertificate.fromPEMFile(tls.certificate)
        return try .tls(
          plain,
          tlsConfiguration: .makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(NIOSSLPrivateKey(file: tls.key, format: .pem))))
      } catch {
        throw ServerFailure.tls("\(tls.certificate), \(tls.key): \(error)")
      }
    #else
      throw ServerFailure.tls(
        "\(tls.certificate): this build has none; build with `swift build --traits TLS`")
    #endif
  }
}
