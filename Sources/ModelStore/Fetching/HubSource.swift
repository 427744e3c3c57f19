import FoundationEssentials
import Glibc

/// A model on the Hugging Face hub, or on a server that speaks its interface (`HF_ENDPOINT`).
///
/// `HF_TOKEN` is sent to the endpoint only; the library drops it when a redirect leads elsewhere.
struct HubSource: ModelSource {
  let repository: String
  /// The file asked for, or `nil` for the repository's model.
  let file: String?
  let environment: [String: String]
  /// Seconds before the first new attempt; doubled each time.
  var patience = 1.0

  var recordName: String { file?.replacing("/", with: "--") ?? "model" }

  private var endpoint: String {
    let endpoint = environment["HF_ENDPOINT"].flatMap { $0.isEmpty ? nil : $0 }
    var address = endpoint ?? "https://huggingface.co"
    while address.hasSuffix("/") { address.removeLast() }
    return address
  }

  private var authorization: [String] {
    environment["HF_TOKEN"].flatMap { $0.isEmpty ? nil : ["Authorization: Bearer \($0)"] } ?? []
  }

  func files() throws(ModelStore.Failure) -> [RemoteFile] {
    let listing = try listing()
    let chosen = try choose(listing.siblings)
    return chosen.map { sibling in
      let hash = sibling.lfs?.sha256 ?? sibling.lfs?.oid
      let sha256 = hash.flatMap { $0.count == 64 ? $0.lowercased() : nil }
      return RemoteFile(
        path: sibling.rfilename, size: sibling.lfs?.size ?? sibling.size, sha256: sha256,
        identity: sha256 ?? sibling.blobId ?? listing.sha ?? "main")
    }
  }

  func download(
    _ file: RemoteFile, to partial: PartialFile, progress: (FetchEvent) -> Void
  ) throws(ModelStore.Failure) {
    let url = "\(endpoint)/\(repository)/resolve/main/\(file.path)"
    var attempts = 0
    var wait = patience
    while true {
      if let size = file.size, partial.count == size, size > 0 { return }
      let start = partial.count
      var request = HTTPTransfer(url: url, headers: authorization, environment: environment)
      if start > 0 { request.headers.append("Range: bytes=\(start)-") }
      var first = true
      let outcome = try request.run { (response, bytes) throws(ModelStore.Failure) in
        // The body of an error is no part of the file.
        guard response.status == 200 || response.status == 206 else { return }
        if first {
          first = false
          let resumes = response.fields["content-range"]?.hasPrefix("bytes \(start)-") == true
          if response.status == 200 || !resumes, partial.count > 0 {
            guard response.status == 200 else {
              throw .notAtSource(url, detail: "the server sent another range than asked for")
            }
            try partial.keep(0) { _ in }
          }
        }
        if let size = file.size, partial.count + bytes.count > size {
          throw .checksum(path: partial.path, expected: "\(size) bytes", found: "more bytes")
        }
        try partial.append(bytes)
        progress(.bytes(partial.count))
      }
      switch outcome {
      case .complete(200), .complete(206): return
      case .complete(416) where start > 0: try partial.keep(0) { _ in }
      case .complete(let status) where ![429, 500, 502, 503, 504].contains(status):
        throw failure(url, status)
      case .complete(let status):
        attempts += 1
        guard attempts < 5 else {
          throw .noNetwork(url, detail: "the server answered with status \(status)")
        }
      case .broken(let text, _):
        attempts = partial.count > start ? 1 : attempts + 1
        guard attempts < 5 else { throw .noNetwork(url, detail: text) }
      }
      if attempts > 0 {
        usleep(UInt32(min(wait, 16) * 1_000_000))
        wait *= 2
      }
    }
  }

  private func failure(_ url: String, _ status: Int) -> ModelStore.Failure {
    let detail =
      switch status {
      case 401, 403:
        "status \(status): the repository does not exist, or it is private or asks for consent: "
          + "set HF_TOKEN to a token of an account that may read it"
      case 404: "status 404"
      default: "the server answered with status \(status)"
      }
    return .notAtSource(url, detail: detail)
  }

  /// The part of the hub's answer about a repository that is read.
  private struct Listing: Decodable {
    let sha: String?
    let siblings: [Sibling]
  }

  private struct Sibling: Decodable {
    struct LFS: Decodable {
      let sha256: String?
      let oid: String?
      let size: Int?
    }
    let rfilename: String
    let size: Int?
    let blobId: String?
    let lfs: LFS?
  }

  private func listing() throws(ModelStore.Failure) -> Listing {
    let url = "\(endpoint)/api/models/\(repository)?blobs=true"
    let request = HTTPTransfer(url: url, headers: authorization, environment: environment)
    var text = Data()
    let outcome = try request.run { (response, bytes) throws(ModelStore.Failure) in
      guard response.status == 200 else { return }
      guard text.count + bytes.count <= 32 << 20 else {
        throw .notAtSource(url, detail: "the server's list of files is longer than 32 MiB")
      }
      text.append(contentsOf: bytes)
    }
    switch outcome {
    case .complete(200): break
    case .complete(let status): throw failure(url, status)
    case .broken(let text, _): throw .noNetwork(url, detail: text)
    }
    guard let listing = try? JSONDecoder().decode(Listing.self, from: text) else {
      throw .notAtSource(url, detail: "the server's answer is no list of files")
    }
    return listing
  }

  /// The files that make up the model: the one asked for, the only GGUF file, or the safetensors
  /// files with their configuration.
  private func choose(_ all: [Sibling]) throws(ModelStore.Failure) -> [Sibling] {
    // Names come from outside: one that leads out of the folder is not taken.
    let siblings = all.filter { ModelName.isFile($0.rfilename) }
    if let file {
      guard let sibling = siblings.first(where: { $0.rfilename == file }) else {
        throw .notAtSource("\(repository):\(file)", detail: "the repository has no such file")
      }
      return [sibling]
    }
    let gguf = siblings.filter { $0.rfilename.hasSuffix(".gguf") }
    let tensors = siblings.filter {
      $0.rfilename.hasSuffix(".safetensors") && !$0.rfilename.contains("/")
    }
    if tensors.isEmpty {
      guard gguf.count == 1 else {
        let names = gguf.map(\.rfilename).joined(separator: ", ")
        throw .notAtSource(
          repository,
          detail: gguf.isEmpty
            ? "the repository has neither GGUF nor safetensors files"
            : "the repository has several models; name one as \(repository):FILE of \(names)")
      }
      return gguf
    }
    let companions: Set = [
      "config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json",
      "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "vocab.json",
      "merges.txt", "chat_template.jinja",
    ]
    let model = tensors.filter { $0.rfilename.hasPrefix("model") }
    return siblings.filter { companions.contains($0.rfilename) } + (model.isEmpty ? tensors : model)
  }
}
