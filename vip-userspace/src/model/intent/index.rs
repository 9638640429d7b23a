//! Which services a backend is a member of, found without a look at all members of all services. It follows from the
//! services: it is made when somebody asks for the first time, and then follows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use crate::model::{BackendName, Service, ServiceName};

/// Services by the backends that are their members. It says nothing of its own: all of them are equal.
#[derive(Clone, Default, Debug)]
pub(super) struct Index(OnceLock<Arc<BTreeMap<BackendName, BTreeSet<ServiceName>>>>);

impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Index {}

impl Index {
    /// The services that a backend is a member of.
    pub(super) fn services_of<'a>(
        &'a self,
        services: &BTreeMap<ServiceName, Service>,
        backend: &BackendName,
    ) -> impl Iterator<Item = &'a ServiceName> + use<'a> {
        self.get(services).get(backend).into_iter().flatten()
    }

    /// Whether a backend is a member of a service.
    pub(super) fn is_member(
        &self,
        services: &BTreeMap<ServiceName, Service>,
        (service, backend): (&ServiceName, &BackendName),
    ) -> bool {
        self.get(services).get(backend).is_some_and(|names| names.contains(service))
    }

    fn get(
        &self,
        services: &BTreeMap<ServiceName, Service>,
    ) -> &BTreeMap<BackendName, BTreeSet<ServiceName>> {
        self.0.get_or_init(|| Arc::new(index(services)))
    }

    /// A backend has become a member of a service, or is one no more.
    pub(super) fn change(&mut self, service: &ServiceName, backend: &BackendName, is_member: bool) {
        // Where nobody has asked yet, there is nothing to be changed.
        let Some(index) = self.0.get_mut().map(Arc::make_mut) else { return };
        let services = index.entry(backend.clone()).or_default();
        if is_member {
            services.insert(service.clone());
        } else {
            services.remove(service);
        }
    }
}

fn index(services: &BTreeMap<ServiceName, Service>) -> BTreeMap<BackendName, BTreeSet<ServiceName>> {
    let mut index = BTreeMap::<_, BTreeSet<_>>::new();
    for service in services.values() {
        for member in &service.members {
            index.entry(member.backend.clone()).or_default().insert(service.name.clone());
        }
    }
    index
}
