import ArgumentParser
import Foundation
import ModelStore
import Serving

/// Where a server listens, and for whom.
struct ListeningOptions: ParsableArguments {
  @Option(help: "The address to listen on; 0.0.0.0 is reachable from everywhere.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 takes any free one.")
  var port = 8000

  @Option(help: "Listen on a Unix socket instead.")
  var unixSocket: String?

  @Option(
    help: """
      A file with the keys of which clients must show one, a line each; the variable \
      ATTENTION_API_KEY holds one more.
      """)
  var apiKeyFile: String?

  @Option(help: "The name of the model for clients; may be given more than once.")
  var servedModelName: [String] = []

  @Option(help: "The origin whose pages in browsers may use the server: * or one origin.")
  var corsOrigin: String?

  @Option(help: "What the names of the metrics begin with; vllm: suits dashboards made for vLLM.")
  var metricsPrefix = "attention_"

  @Option(help: "A certificate chain (PEM), for HTTPS; needs a build with the trait TLS.")
  var tlsCertificate: String?

  @Option(help: "The certificate's private key (PEM).")
  var tlsKey: String?

  func options() throws -> ServerOptions {
    var options = ServerOptions()
    guard (0...65535).contains(port) else {
      throw ValidationError("--port is \(port); expected 0 to 65535")
    }
    options.address = unixSocket.map { .unixSocket($0) } ?? .host(host, port: port)
    options.apiKeys = try keys()
    options.modelNames = servedModelName
    options.corsOrigin = corsOrigin
    options.metricsPrefix = metricsPrefix
    switch (tlsCertificate, tlsKey) {
    case (nil, nil): break
    case (let certificate?, let key?): options.tls = .init(certificate: certificate, key: key)
    default: throw ValidationError("--tls-certificate and --tls-key belong together")
    }
    return options
  }

  private func keys() throws -> [String] {
    var keys: [String] = []
    if let key = ModelStore.processEnvironment["ATTENTION_API_KEY"], !key.isEmpty {
      keys.append(key)
    }
    guard let apiKeyFile else { return keys }
    guard let data = FileManager.default.contents(atPath: apiKeyFile),
      let text = String(validating: data, as: UTF8.self)
    else { throw CommandFailure(.noInput, "\(apiKeyFile): expected a readable file of keys") }
    let lines = text.split(whereSeparator: \.isNewline).map {
      $0.trimmingCharacters(in: .whitespaces)
    }
    keys += lines.filter { !$0.isEmpty && !$0.hasPrefix("#") }
    // A file that admits nobody is a mistake; to admit everybody none must be given.
    guard !keys.isEmpty else { throw CommandFailure(.data, "\(apiKeyFile): expected a key") }
    return keys
  }
}
