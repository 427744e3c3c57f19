import Attention
import Devices
import Glibc
import LanguageModels
import Tensors
import Tokenizers

/// The engine's thread: takes messages, makes steps, tells sequences' news.
///
/// Confined to its thread once started.
final class EngineLoop {
  let bundle: ModelBundle
  let device: CPUDevice
  let options: EngineOptions
  let limits: RequestLimits
  let runner: BatchRunner
  /// The draft model; its keys and values are in pages of the same numbers.
  let drafter: BatchRunner?
  /// Whether finished and running sequences serve others that begin alike.
  let sharesPrefixes: Bool
  /// In endless generation, which pages go.
  let streaming: StreamingWindow?
  let mailbox: EngineMailbox
  let published: PublishedStatistics

  var pool: PagePool
  var cache: PrefixCache
  /// Sequences that take part in steps, in the order of arrival.
  var running: [EngineSequence] = []
  /// Sequences that are to run, in the order of arrival.
  var waiting: [EngineSequence] = []
  var requests: [UInt64: EngineRequest] = [:]
  var statistics = EngineStatistics()
  /// The step whose tokens are drawn on the device and not known yet.
  var flight: Flight?
  /// What constraints allow, one row at a time.
  var mask = TokenMask(count: 0)

  init(
    _ bundle: ModelBundle, device: CPUDevice, options: EngineOptions, mailbox: EngineMailbox,
    published: PublishedStatistics
  ) throws {
    let configuration = bundle.model.configuration
    let context = try configuration.context(options.context)
    for (name, value) in [
      ("token budget", options.tokenBudget), ("prefill budget", options.prefillBudget),
      ("page size", options.pageSize),
      ("the most running sequences", options.maxRunning),
      ("page count", options.pageCount ?? 1), ("kv memory", options.kvMemory ?? 1),
    ] where value < 1 {
      throw EngineFailure.invalid(parameter: name, problem: "is \(value); expected at least 1")
    }
    let pageBytes = try BatchRunner.pageByteCount(
      bundle.model, kvType: options.kvType, pageSize: options.pageSize)
    let contextPages = (context + options.pageSize - 1) / options.pageSize
    let pageCount =
      try options.pageCount ?? options.kvMemory.map { $0 / pageBytes }
      ?? Self.pagesOfGPU(bundle.model, options, contextPages: contextPages)
      ?? max((1 << 30) / pageBytes, contextPages)
    guard pageCount >= 1 else {
      throw EngineFailure.invalid(
        parameter: "kv memory", problem: "holds no page; expected at least \(pageBytes) bytes")
    }
    var batch = BatchRunner.Options(
      pageCount: pageCount, pageSize: options.pageSize, rows: options.tokenBudget)
    batch.kvType = options.kvType
    batch.context = context
    batch.sequences = min(options.maxRunning, options.tokenBudget)
    // Every row may be drawn after, and every sequence of a prompt from its last one.
    batch.draws = options.tokenBudget + options.maxRunning
    batch.composition = options.composes ? .automatic : .off
    batch.isBatchInvariant = !options.composes
    batch.rotatesInAttention = options.window != nil
    runner = try BatchRunner(bundle.model, device: device, options: batch)
    drafter = try Self.drafter(bundle, device, options, batch)
    streaming = try options.window.map { window in
      try StreamingWindow(
        sinks: options.attentionSinks, window: window, pageSize: options.pageSize,
        context: context)
    }
    sharesPrefixes = options.prefixCaching && options.window == nil
    limits = RequestLimits(
      context: context, vocabularySize: configuration.vocabularySize, pageCount: pageCount,
      pageSize: options.pageSize, maxRunning: options.maxRunning,
      streamingPages: streaming?.mostPages)
    pool = PagePool(pageCount: pageCount, pageSize: options.pageSize)
    cache = PrefixCache(pageSize: options.pageSize)
    self.bundle = bundle
    self.device = device
    self.options = options
    self.mailbox = mailbox
    self.published = published
    statistics.pages = pageCount
    published.value = statistics
  }

  /// The pages that a GPU has room for and that running sequences can use; nil on the processor.
  private static func pagesOfGPU(
    _ model: LanguageModel, _ options: EngineOptions, contextPages: Int
  ) throws -> Int? {
    guard let bytes = try BatchRunner.poolByteCount(model) else { return nil }
    // A draft model has as many pages, on the same GPU.
    var models = [model]
    if case .draft(let draft, _) = options.speculation { models.append(draft.model) }
    let pageBytes = try models.reduce(0) {
      try $0
        + BatchRunner.pageByteCount($1, kvType: options.kvType, pageSize: options.pageSize)
    }
    return min(bytes / pageBytes, options.maxRunning * contextPages)
  }

  private static func drafter(
    _ bundle: ModelBundle, _ device: CPUDevice, _ options: EngineOptions,
    _ batch: BatchRunner.Options
  ) throws -> BatchRunner? {
    let guesses: Int
    switch options.speculation {
    case .off: return nil
    case .promptLookup(let tokens), .draft(_, let tokens): guesses = tokens
    }
    guard guesses >= 1, guesses <= 64 else {
      throw EngineFailure.invalid(
        parameter: "speculation", problem: "guesses \(guesses) tokens; expected 1 to 64")
    }
    guard options.window == nil else {
      throw EngineFailure.invalid(
        parameter: "speculation", problem: "does not go together with a window")
    }
    guard case .draft(let draft, _) = options.speculation else { return nil }
    let (own, other) = (
      bundle.model.configuration.vocabularySize, draft.model.configuration.vocabularySize
    )
    guard own == other else {
      throw EngineFailure.invalid(
        parameter: "the draft model",
        problem: "has a vocabulary of \(other); expected the model's \(own)")
    }
    // It may have to catch up by a token or two of every sequence.
    var batch = batch
    batch.rows += 4 * options.maxRunning
    return try BatchRunner(draft.model, device: device, options: batch)
  }

  /// Starts the thread, which owns the loop from now on.
  func start() throws(EngineFailure) {
    let argument = Unmanaged.passRetained(self)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<EngineLoop>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard status == 0 else {
      argument.release()
      throw .model("the system refused a thread")
    }
    pthread_detach(thread)
  }

  private var isIdle: Bool { running.isEmpty && waiting.isEmpty && flight == nil }

  private func run() {
    while true {
      let (messages, stop) = mailbox.take(sleeps: isIdle)
      for message in messages { handle(message) }
      switch stop {
      case .draining(let deadline) where isIdle || deadline <= .now:
        for sequence in running + waiting { end(sequence, .cancelled) }
        removeEnded()
        publish()
        return mailbox.ended()
      case .stopped: return
      default: break
      }
      if !isIdle { step() }
      publish()
    }
  }

  private func handle(_ message: EngineMessage) {
    switch message {
    case .submit(let submission):
      let request = EngineRequest(
        submission, endOfGeneration: bundle.tokenizer.endOfGeneration)
      requests[request.id] = request
      waiting.append(EngineSequence(request, index: 0, forks: request.request.n - 1))
    case .cancel(let id, let sequence):
      cancel(id, sequence)
    case .check(let report):
      report(integrity)
    }
  }

  private func cancel(_ id: UInt64, _ index: Int?) {
    guard let request = requests[id] else { return }
    for sequence in running + waiting where sequence.owner === request {
      if index == nil || sequence.index == index {
        // Those that are to follow the same prompt need it computed all the same.
        if index != nil, sequence.forks > 0 {
          request.cancelled.insert(sequence.index)
        } else {
          end(sequence, .cancelled)
        }
      }
    }
    if let index, index < request.request.n, index > 0 { request.cancelled.insert(index) }
    removeEnded()
  }

  // MARK: - Ends

  /// Ends a sequence and gives its pages back; `removeEnded` takes it out of the lists.
  func end(_ sequence: EngineSequence, _ reason: FinishReason) {
    guard sequence.finish == nil else { return }
    sequence.finish = reason
    // A row that was computed for a token which is not to be counts for nothing.
    sequence.unseen = nil
    sequence.computed = min(sequence.computed, sequence.tokens.count)
  }

  /// Takes ended sequences out of the lists, their pages back, and tells their ends.
  func removeEnded() {
    let ended = (running + waiting).filter { $0.finish != nil }
    guard !ended.isEmpty else { return }
    for sequence in ended {
      shareComputedPages(of: sequence)
      releasePages(of: sequence)
      tell(sequence)
    }
    running.removeAll { $0.finish != nil }
    waiting.removeAll { $0.finish != nil }
  }

  /// Tells what is new of a sequence, and of its request where that is over.
  func tell(_ sequence: EngineSequence) {
    let owner = sequence.owner
    switch owner.sink {
    case .embedding(let report):
      guard let finish = sequence.finish else { return }
      switch finish {
      case .cancelled: report(.failure(.cancelled))
      case .failed(let text): report(.failure(.model(text)))
      default: report(.success(sequence.pooled))
      }
    case .stream(let events):
      guard sequence.finish != nil || !sequence.news.isEmpty else { return }
      var event = SequenceEvent(sequence: sequence.index)
      swap(&event.tokens, &sequence.news)
      if sequence.index == 0 { swap(&event.prompt, &owner.promptOutputs) }
      event.finish = sequence.finish
      event.usage = sequence.usage
      events.yield(event)
      guard sequence.finish != nil else { return }
      // Sequences that never came to be end with the one that they were to follow.
      for fork in 0..<sequence.forks {
        var event = SequenceEvent(sequence: sequence.index + 1 + fork)
        event.finish = sequence.finish
        event.usage = sequence.usage
        events.yield(event)
      }
    }
    owner.open -= sequence.slots
    count(sequence)
    guard owner.open == 0 else { return }
    requests[owner.id] = nil
    if !owner.hasRun { mailbox.left() }
    owner.hasRun = true
    if case .stream(let events) = owner.sink { events.finish() }
  }

  private func count(_ sequence: EngineSequence) {
    let name =
      switch sequence.finish {
      case .stop, nil: "stop"
      case .length: "length"
      case .cancelled: "cancelled"
      case .failed: "failed"
      }
    statistics.finished[name, default: 0] += sequence.slots
  }

  private func publish() {
    statistics.running = running.count
    statistics.waiting = waiting.count { $0.owner.hasRun }
    statistics.cachedPages = pool.evictableCount
    statistics.usedPages = pool.pageCount - pool.availableCount
    published.value = statistics
  }

  /// What is inconsistent, if anything.
  private var integrity: EngineIntegrity? {
    var held: [Int32: Int] = [:]
    for sequence in running + waiting {
      for page in sequence.pages { held[page, default: 0] += 1 }
      let capacity = sequence.pages.count * options.pageSize
      if sequence.computed - sequence.dropped > capacity {
        return EngineIntegrity(
          description: "a sequence has computed \(sequence.computed) tokens in \(capacity) places")
      }
    }
    if let page = waiting.first(where: { !$0.pages.isEmpty })?.pages.first {
      return EngineIntegrity(description: "a sequence that waits holds page \(page)")
    }
    let problem =
      cache.inconsistency ?? pool.inconsistency(held: held, cached: Set(cache.pages))
    return problem.map { EngineIntegrity(description: $0) }
  }
}
