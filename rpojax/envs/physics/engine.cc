// MuJoCo's C engine as an XLA operation: a pure function of rows of simulations.
//
// A row is MuJoCo's mjSTATE_INTEGRATION of one simulation: all that a step depends on. Its float64
// numbers travel as pairs of uint32, so that they survive in programs without 64-bit types.
// Each worker has an mjBatch of one simulation, which MuJoCo steps to the same bits as a
// single mjData, and whose errors come back as a status and do not end the process.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <mujoco/mjbatch.h>
#include <mujoco/mjxmacro.h>
#include <mujoco/mujoco.h>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

// An array of mjData that a task reads.
struct Field {
  size_t offset;  // in mjData: of its pointer, or of the numbers themselves
  int size;       // -1 where MuJoCo has no such field
  bool inside;    // the numbers themselves
  bool state;     // of a row; other fields are zero before a step, since workers are shared
};

bool IsState(std::string_view name) {
  for (std::string_view other :
       {"qpos", "qvel", "act", "history", "plastic", "qacc_warmstart", "plugin_state", "ctrl",
        "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat", "userdata"}) {
    if (name == other) return true;
  }
  return false;
}

// Whether no constant of the model is derived from a parameter, so that mj_setConst can be left out,
// which costs about as much as a step.
bool IsUnderived(std::string_view param) {
  for (std::string_view other : {"opt.gravity", "dof_damping", "dof_frictionloss", "geom_friction",
                                 "geom_solref", "actuator_forcerange"}) {
    if (param == other) return true;
  }
  return false;
}

// A float64 array of mjData by name, the time or the energy.
Field FieldNamed(const mjModel* m, std::string_view name) {
  if (name == "time") return {offsetof(mjData, time), 1, true, true};
  if (name == "energy") return {offsetof(mjData, energy), 2, true, false};
#define X(type, field, rows, columns)                             \
  if (std::is_same_v<type, mjtNum> && name == #field) {           \
    return {offsetof(mjData, field), static_cast<int>(m->rows * (columns)), false, IsState(name)}; \
  }
  MJDATA_POINTERS
#undef X
  return {0, -1, false, false};
}

mjtNum* Array(mjData* d, const Field& field) {
  char* place = reinterpret_cast<char*>(d) + field.offset;
  return field.inside ? reinterpret_cast<mjtNum*>(place) : *reinterpret_cast<mjtNum**>(place);
}

// What one thread computes with: one simulation of the model as it is, and one of a copy whose
// parameters change. Parameters that all equal the model's own, in float32, leave it untouched.
struct Worker {
  mjBatch* plain = nullptr;
  mjBatch* changed = nullptr;
  std::vector<mjtNum*> params;  // of the changed model
  std::vector<float> current;   // the same, as they were passed; empty before the first
  ~Worker() {
    if (plain != nullptr) mjb_deleteBatch(plain);
    if (changed != nullptr) mjb_deleteBatch(changed);
  }
};

// A model with the fields to return and the parameters to take, and its idle workers.
struct Engine {
  mjModel* model;
  std::vector<Field> fields;
  std::vector<std::string> params;
  std::vector<int> param_sizes;
  std::vector<float> defaults;  // of the parameters, one after the other
  std::mutex mutex;
  std::vector<std::unique_ptr<Worker>> idle;
};

std::mutex engines_mutex;
std::map<std::string, std::unique_ptr<Engine>, std::less<>> engines;

std::vector<std::string> Split(std::string_view names) {
  std::vector<std::string> found;
  while (!names.empty()) {
    const size_t end = std::min(names.find(','), names.size());
    found.emplace_back(names.substr(0, end));
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return found;
}

mjBatch* MakeBatch(const mjModel* model) {
  mjBatchConfig config;
  mjb_defaultConfig(&config);
  config.nthread = 1;
  char error[256];
  return mjb_makeBatch(model, 1, &config, error, sizeof(error));
}

// A worker; null where MuJoCo cannot make it. Fills in what the engine knows of its parameters.
std::unique_ptr<Worker> MakeWorker(Engine& engine) {
  auto worker = std::make_unique<Worker>();
  worker->plain = MakeBatch(engine.model);
  if (worker->plain == nullptr || engine.params.empty()) {
    return worker->plain == nullptr ? nullptr : std::move(worker);
  }
  worker->changed = MakeBatch(engine.model);
  if (worker->changed == nullptr) return nullptr;
  std::vector<float> defaults;
  std::vector<int> sizes;
  for (const std::string& name : engine.params) {
    int size, bytes;
    void* values = mjb_expand(worker->changed, name.c_str(), &size, &bytes);
    if (values == nullptr || bytes != sizeof(mjtNum)) return nullptr;
    worker->params.push_back(static_cast<mjtNum*>(values));
    sizes.push_back(size);
    for (int i = 0; i < size; ++i) {
      defaults.push_back(static_cast<float>(worker->params.back()[i]));
    }
  }
  std::lock_guard<std::mutex> lock(engine.mutex);
  if (engine.defaults.empty()) {
    engine.param_sizes = sizes;
    engine.defaults = defaults;
  }
  return worker;
}

// What one call advances: n simulations of one engine.
struct Job {
  Engine* engine;
  int64_t count, substeps, with_contact_forces;
  const uint32_t* rows;
  std::vector<Field> inputs;  // written into mjData first
  std::vector<const float*> input_values, params;
  uint32_t* new_rows;
  std::vector<float*> fields;

  std::atomic<int64_t> next{0};
  int64_t done = 0;  // guarded by the mutex, as is what `finished` says
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::condition_variable finished;
};

struct Advance {
  const Job* job;
  int64_t index;
  bool invalid;
};

// MuJoCo prints the first warning of a kind; each kind has had so many where a step begins.
constexpr int kQuiet = 1 << 20;

void SetWarnings(mjData* d, int number) {
  for (mjWarningStat& warning : d->warning) warning.number = number;
}

// Also where MuJoCo has reset the state, which sets the numbers back.
bool HasWarned(const mjData* d) {
  for (const mjWarningStat& warning : d->warning) {
    if (warning.number != kQuiet) return true;
  }
  return false;
}

void AdvanceOne(const mjModel* m, mjData* d, int, void* argument) {
  auto& advance = *static_cast<Advance*>(argument);
  const Job& job = *advance.job;
  SetWarnings(d, kQuiet);
  for (const Field& field : job.engine->fields) {
    if (!field.state) std::fill_n(Array(d, field), field.size, 0);
  }
  for (size_t i = 0; i < job.inputs.size(); ++i) {
    const int size = job.inputs[i].size;
    std::copy_n(job.input_values[i] + advance.index * size, size, Array(d, job.inputs[i]));
  }
  if (job.substeps == 0) mj_forward(m, d);  // and with -1 nothing
  for (int64_t k = 0; k < job.substeps && !HasWarned(d); ++k) mj_step(m, d);
  if (job.substeps > 0 && job.with_contact_forces) mj_rnePostConstraint(m, d);
  advance.invalid = HasWarned(d);
  SetWarnings(d, 0);
  for (size_t f = 0; f < job.fields.size(); ++f) {
    const Field& field = job.engine->fields[f];
    std::copy_n(Array(d, field), field.size, job.fields[f] + advance.index * field.size);
  }
}

// The simulation with the parameters of one index.
mjBatch* WithParams(const Job& job, Worker& worker, int64_t index) {
  if (job.params.empty()) return worker.plain;
  std::vector<float> given;
  for (size_t p = 0; p < job.params.size(); ++p) {
    const int size = job.engine->param_sizes[p];
    const float* values = job.params[p] + index * size;
    given.insert(given.end(), values, values + size);
  }
  if (given == job.engine->defaults) return worker.plain;
  bool derive = worker.current.empty();
  size_t offset = 0;
  for (size_t p = 0; p < worker.params.size(); ++p) {
    const int size = job.engine->param_sizes[p];
    const float* values = given.data() + offset;
    if (worker.current.empty() || !std::equal(values, values + size, &worker.current[offset])) {
      std::copy_n(values, size, worker.params[p]);
      derive = derive || !IsUnderived(job.engine->params[p]);
    }
    offset += size;
  }
  if (derive) mjb_setConst(worker.changed, nullptr, 0);
  worker.current = std::move(given);
  return worker.changed;
}

void Run(const Job& job, Worker& worker, int64_t index) {
  mjBatch* batch = WithParams(job, worker, index);
  const int size = mjb_nstate(batch);
  const int64_t offset = 2 * size * index;
  mjtNum* row = mjb_state(batch);
  std::memcpy(row, job.rows + offset, size * sizeof(mjtNum));
  Advance advance{&job, index, false};
  const int errors = mjb_apply(batch, nullptr, 0, AdvanceOne, &advance, /*save=*/1);
  std::memcpy(job.new_rows + offset, row, size * sizeof(mjtNum));
  if (errors || advance.invalid) {  // NaN in place of what MuJoCo has reset in silence
    for (size_t f = 0; f < job.fields.size(); ++f) {
      const int length = job.engine->fields[f].size;
      std::fill_n(job.fields[f] + index * length, length, std::numeric_limits<float>::quiet_NaN());
    }
  }
}

// Advance simulations until none is left. Several threads do so for one job.
void Work(Job& job) {
  constexpr int64_t kBlock = 4;  // simulations that a thread claims at a time
  std::unique_ptr<Worker> worker;
  for (int64_t start; (start = job.next.fetch_add(kBlock)) < job.count;) {
    const int64_t end = std::min(start + kBlock, job.count);
    if (worker == nullptr && !job.failed) {
      std::unique_lock<std::mutex> lock(job.engine->mutex);
      if (!job.engine->idle.empty()) {
        worker = std::move(job.engine->idle.back());
        job.engine->idle.pop_back();
      } else {
        lock.unlock();
        worker = MakeWorker(*job.engine);
        if (worker == nullptr) job.failed = true;
      }
    }
    for (int64_t i = start; i < end && worker != nullptr; ++i) Run(job, *worker, i);
    std::lock_guard<std::mutex> lock(job.mutex);
    job.done += end - start;
    if (job.done == job.count) job.finished.notify_all();
  }
  if (worker != nullptr) {
    std::lock_guard<std::mutex> lock(job.engine->mutex);
    job.engine->idle.push_back(std::move(worker));
  }
}

ffi::Error Call(ffi::ThreadPool pool, std::string_view key, std::string_view inputs,
                int64_t substeps, int64_t with_contact_forces, ffi::RemainingArgs args,
                ffi::RemainingRets rets) {
  Engine* engine;
  {
    std::lock_guard<std::mutex> lock(engines_mutex);
    const auto found = engines.find(key);
    if (found == engines.end()) return ffi::Error::Internal("the model is not registered");
    engine = found->second.get();
  }
  auto job = std::make_shared<Job>();
  job->engine = engine;
  job->substeps = substeps;
  job->with_contact_forces = with_contact_forces;
  const auto rows = args.get<ffi::Buffer<ffi::U32>>(0);
  job->rows = rows->typed_data();
  job->count = rows->element_count() / (2 * mj_stateSize(engine->model, mjSTATE_INTEGRATION));
  for (const std::string& name : Split(inputs)) {
    job->inputs.push_back(FieldNamed(engine->model, name));
  }
  for (size_t i = 1; i < args.size(); ++i) {
    auto& list = i <= job->inputs.size() ? job->input_values : job->params;
    list.push_back(args.get<ffi::Buffer<ffi::F32>>(i)->typed_data());
  }
  job->new_rows = (*rets.get<ffi::Buffer<ffi::U32>>(0))->typed_data();
  for (size_t i = 1; i < rets.size(); ++i) {
    job->fields.push_back((*rets.get<ffi::Buffer<ffi::F32>>(i))->typed_data());
  }
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), (job->count + 3) / 4) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([job] { Work(*job); });
  Work(*job);  // the caller never waits for a free thread
  std::unique_lock<std::mutex> lock(job->mutex);
  job->finished.wait(lock, [&job] { return job->done == job->count; });
  if (job->failed) return ffi::Error::Internal("MuJoCo could not make a simulation");
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(rpojax_mujoco, Call,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<std::string_view>("engine")
                                  .Attr<std::string_view>("inputs")
                                  .Attr<int64_t>("substeps")
                                  .Attr<int64_t>("with_contact_forces")
                                  .RemainingArgs()
                                  .RemainingRets());

// Makes an engine known under `key`. Returns 0, or -1 for a name that MuJoCo does not know.
extern "C" int rpojax_register(const char* key, const void* bytes, int64_t num_bytes,
                               const char* fields, const char* params) {
  std::lock_guard<std::mutex> lock(engines_mutex);
  if (engines.count(std::string_view(key))) return 0;
  auto engine = std::make_unique<Engine>();
  engine->model = mj_loadModelBuffer(bytes, num_bytes);
  if (engine->model == nullptr) return -2;
  for (const std::string& name : Split(fields)) {
    engine->fields.push_back(FieldNamed(engine->model, name));
    if (engine->fields.back().size < 0) return -1;
  }
  engine->params = Split(params);
  auto worker = MakeWorker(*engine);
  if (worker == nullptr) return -1;
  engine->idle.push_back(std::move(worker));
  engines.emplace(key, std::move(engine));
  return 0;
}
