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
      return try .tls(plain, tlsConfiguration: configuration(tls))
    #else
      throw ServerFailure.tls(
        "\(tls.certificate): this build has none; build with `swift build --traits TLS`")
    #endif
  }

  #if TLS
    private func configuration(_ tls: ServerOptions.TLS) throws(ServerFailure) -> TLSConfiguration {
      let chain: [NIOSSLCertificate]
      do {
        chain = try NIOSSLCertificate.fromPEMFile(tls.certificate)
      } catch {
        throw .tls("\(tls.certificate) cannot be read as a chain of certificates (PEM)")
      }
      let key: NIOSSLPrivateKey
      do {
        key = try NIOSSLPrivateKey(file: tls.key, format: .pem)
      } catch {
        throw .tls("\(tls.key) cannot be read as a private key (PEM)")
      }
      let configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
      do {
        _ = try NIOSSLContext(configuration: configuration)
      } catch {
        throw .tls("\(tls.key) is not the key of the certificate in \(tls.certificate)")
      }
      return configuration
    }
  #endif
}
