//! scratch
use ghostlight_kernels::*;
use ghostlight_kernels::loss::*;
use std::time::Instant;
fn main() {
    let client = cubecl::Device::default().client();
    for d in [DType::F64, DType::F32] {
        let z=[1., 2., -0.5, 0.3, 0.2, -1., 1.5, 0.]; let v=[3., 0.5, -1., 0., -0.5, 0.1, 2.5, 1.];
        let zt=Tensor::from_f64(&client,&z,&[2,4],d).unwrap(); let vt=Tensor::from_f64(&client,&v,&[2,4],d).unwrap();
        let l=Labels::new(&client,&[0,3],4).unwrap();
        let o=cross_entropy::cross_entropy(&zt,&l,0.0).unwrap();
        println!("{:?} {:?}", sum(&o.loss).unwrap().to_f64().unwrap(), o.grad.to_f64().unwrap());
        let o=dkd::dkd(&zt,&vt,&l,&dkd::DkdOptions::default()).unwrap();
        println!("{:?} {:?}", sum(&o.loss).unwrap().to_f64().unwrap(), o.grad.to_f64().unwrap());
        let zt=Tensor::from_f64(&client,&[120.,0.,0.,0.],&[1,4],d).unwrap(); let vt=Tensor::from_f64(&client,&[1.,2.,3.,4.],&[1,4],d).unwrap();
        let l=Labels::new(&client,&[0],4).unwrap();
        let o=dkd::dkd(&zt,&vt,&l,&dkd::DkdOptions{temperature:1.0,..Default::default()}).unwrap();
        println!("{:?} {:?}", sum(&o.loss).unwrap().to_f64().unwrap(), o.grad.to_f64().unwrap());
    }
    for (n,c) in [(64usize,10usize),(4096,1000),(256,131072)] {
        let mut x=1u64; let mut r=||{x^=x<<13;x^=x>>7;x^=x<<17; (x%10007) as f32/1000.0-5.0};
        let z:Vec<f32>=(0..n*c).map(|_|r()).collect(); let v:Vec<f32>=(0..n*c).map(|_|r()).collect();
        let lab:Vec<u32>=(0..n).map(|i|(i*7919%c) as u32).collect();
        let zt=Tensor::from_f32(&client,&z,&[n,c]).unwrap(); let vt=Tensor::from_f32(&client,&v,&[n,c]).unwrap();
        let l=Labels::new(&client,&lab,c).unwrap();
        for (name,f) in [("dkd",Box::new(||dkd::dkd(&zt,&vt,&l,&Default::default()).unwrap()) as Box<dyn Fn()->LossAndGrad>),("ce",Box::new(||cross_entropy::cross_entropy(&zt,&l,0.1).unwrap()))] {
        let o=f();
        if std::env::var("CHECK").is_ok() {
            let z:Vec<f64>=z.iter().map(|&a|a as f64).collect(); let v:Vec<f64>=v.iter().map(|&a|a as f64).collect();
            let (rl,rg)= if name=="dkd" {dkd::reference::dkd(&dkd::DkdProblem::new(&zt,&vt,&l,&Default::default()).unwrap(),&z,&v,&lab)} else {cross_entropy::reference::cross_entropy(&cross_entropy::CrossEntropyProblem::new(&zt,&l,0.1).unwrap(),&z,&lab)};
            let e=o.loss.to_f64().unwrap().iter().zip(&rl).map(|(a,b)|((a-b)/b).abs()).fold(0.,f64::max);
            let gm=rg.iter().map(|a|a.abs()).fold(0.,f64::max);
            let g=o.grad.to_f64().unwrap().iter().zip(&rg).map(|(a,b)|((a-b)).abs()).fold(0.,f64::max)/gm;
            println!("err loss rel {e:.2e} grad rel max {g:.2e}");
        }
        if n==64 { for k in 0..4 { let big=Tensor::empty(&client,&[64],DType::F32); cubecl::future::block_on(client.sync()).unwrap(); let t=Instant::now(); for _ in 0..200 {pointwise::fill(&big,1.0);} cubecl::future::block_on(client.sync()).unwrap(); println!("fill {:.4}",t.elapsed().as_secs_f64()/200.0*1e3); 
 let t=Instant::now(); for _ in 0..200 {sum(&o.loss).unwrap();} cubecl::future::block_on(client.sync()).unwrap(); println!("sum {:.4}",t.elapsed().as_secs_f64()/200.0*1e3);
} }
        drop(o);
        cubecl::future::block_on(client.sync()).unwrap();
        let reps = if n==64 {200} else if n==4096 {10} else {5};
        if let Ok(w)=std::env::var("SPIN") { if n==256 && w==name { let t=Instant::now(); while t.elapsed().as_secs_f64()<14.0 { f(); cubecl::future::block_on(client.sync()).unwrap(); } return; } continue; }
        let mut best=f64::MAX; let mut all=vec![];
        for _ in 0..5 {
        let t=Instant::now(); for i in 0..reps {f(); if i%6==0 {let _=client.flush();}}
        cubecl::future::block_on(client.sync()).unwrap();
        let dt=t.elapsed().as_secs_f64()/reps as f64*1e3; best=best.min(dt); all.push(dt);}
        println!("{name} {n}x{c}: best {best:.4} ms of {all:.3?}");
        }
    }
}
